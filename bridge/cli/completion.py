"""`containerd-bridge completion`: the script that a shell reads to complete our command lines; `completing.py` answers it."""

from __future__ import annotations

from typing import Annotated, Final

import typer

from bridge.cli.near import did_you_mean
from bridge.cli.options import checked

__all__ = ["completion"]

_BASH: Final = r"""# containerd-bridge: completion for bash. To have it: source <(containerd-bridge completion bash)
_containerd_bridge() {
    local line="${COMP_LINE:0:COMP_POINT}" typed one
    typed="${line##*[[:space:]]}"
    # readline takes a word apart at these, and wants only what follows the last of them.
    local before=""
    if [[ $typed == *[:=]* ]]; then
        before="${typed%"${typed##*[:=]}"}"
        [[ $before == *: && $COMP_WORDBREAKS != *:* ]] && before=""
        [[ $before == *= && $COMP_WORDBREAKS != *=* ]] && before=""
    fi
    COMPREPLY=()
    while IFS= read -r one; do
        case $one in
            :files) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- "${typed#"$before"}"); return ;;
            :directories) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- "${typed#"$before"}"); return ;;
            *) COMPREPLY+=("${one#"$before"}") ;;
        esac
    done < <("${COMP_WORDS[0]}" __complete bash "$line" 2>/dev/null)
}
complete -F _containerd_bridge containerd-bridge
"""

_ZSH: Final = r"""#compdef containerd-bridge
# containerd-bridge: completion for zsh. To have it: source <(containerd-bridge completion zsh)
_containerd_bridge() {
    local line="${(j: :)${(@)words[1,CURRENT-1]}} ${PREFIX}"
    local -a found
    found=("${(@f)$("${words[1]}" __complete zsh "$line" 2>/dev/null)}")
    [[ -z $found[1] ]] && return 1
    case $found[1] in
        :files) _files; return ;;
        :directories) _files -/; return ;;
    esac
    _describe -V 'containerd-bridge' found
}
if [[ $funcstack[1] == _containerd_bridge ]]; then
    _containerd_bridge "$@"
else
    (( $+functions[compdef] )) || { autoload -Uz compinit && compinit -u }
    compdef _containerd_bridge containerd-bridge
fi
"""

_FISH: Final = r"""# containerd-bridge: completion for fish. To have it: containerd-bridge completion fish | source
function __containerd_bridge
    set -l line (commandline -cp)
    for one in (containerd-bridge __complete fish "$line" 2>/dev/null)
        switch $one
            case :files
                __fish_complete_path (commandline -ct)
            case :directories
                __fish_complete_directories (commandline -ct)
            case '*'
                printf '%s\n' $one
        end
    end
end
complete -c containerd-bridge -f -a '(__containerd_bridge)'
"""

_SCRIPTS: Final = {"bash": _BASH, "zsh": _ZSH, "fish": _FISH}


def _check_shell(shell: str) -> None:
    if shell not in _SCRIPTS:
        meant = did_you_mean(shell, _SCRIPTS) or f"choose from {', '.join(_SCRIPTS)}"
        raise ValueError(f"there is no completion for {shell!r}: {meant}")


def completion(
    *,
    shell: Annotated[str, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", callback=checked(_check_shell))],
) -> None:
    """Print the script that completes commands, options, containers, nodes and images in a shell.

    For bash: `source <(containerd-bridge completion bash)` in ~/.bashrc; for zsh the same with zsh in ~/.zshrc; for fish:
    `containerd-bridge completion fish > ~/.config/fish/completions/containerd-bridge.fish`.
    """
    typer.echo(_SCRIPTS[shell], nl=False)
