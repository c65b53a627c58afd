"""What may come next on a command line: `containerd-bridge __complete SHELL LINE`, which the scripts of `completion` call.

It is asked at every TAB, so it is quick and never in the way: commands and options come from a file that is kept of them, without
typer; what is on the bus is asked for within `PATIENCE_S`, and what was found is kept for `FRESH_S`. What goes wrong is silence.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

import bridge
from bridge.cli.tree import Node, tree
from bridge.cli.typed import Typed, named, typed
from bridge.config import Config, NatsConfig, load, option
from bridge.errors import BridgeError
from bridge.model.commands import COMMANDS
from bridge.model.envelope import WORDS
from bridge.model.kinds import decoder
from bridge.model.selection import names as listed
from bridge.model.state import ContainerState

__all__ = ["Candidate", "candidates", "complete"]

PATIENCE_S: Final = 0.7
FRESH_S: Final = 5.0

HERE: Final = Path(__file__).parent


class Candidate(NamedTuple):
    """What may stand there, and what it is."""

    value: str
    about: str = ""

    @property
    def harmless(self) -> bool:
        """Whether a shell may put it into a line as it stands: names, labels and images on the bus are written by strangers."""
        return bool(_PLAIN.fullmatch(self.value)) and self.about.isprintable()


Ask = Callable[[str, dict[str, str]], list[Candidate]]

_PLAIN: Final = re.compile(r"[\w.@:/=+,-]+", re.ASCII)

FILES, DIRECTORIES = Candidate(":files"), Candidate(":directories")
"""In place of candidates: the shell knows better."""


def complete(arguments: Sequence[str]) -> int:
    """Print what may come next, a line each, as the shell wants it; the status is always 0."""
    with suppress(Exception), _quiet():
        shell, line = arguments
        for one in candidates(line, known(), on_bus):
            value, about = one
            if shell == "zsh":
                value = value.replace("\\", "\\\\").replace(":", "\\:") if one not in {FILES, DIRECTORIES} else value
                sys.stdout.write(f"{value}:{about}\n" if about else f"{value}\n")
            else:
                sys.stdout.write(f"{value}\t{about}\n" if about and shell == "fish" else f"{value}\n")
        sys.stdout.flush()
    return 0


class _quiet:  # noqa: N801 - a context
    """Standard error says nothing meanwhile: it would stand in the middle of what somebody types."""

    def __enter__(self) -> None:
        sys.stderr.flush()
        self._kept = os.dup(2)
        self._level = logging.root.manager.disable
        logging.disable()
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 2)
        os.close(null)

    def __exit__(self, *_: object) -> None:
        os.dup2(self._kept, 2)
        os.close(self._kept)
        logging.disable(self._level)


def candidates(line: str, root: Node, ask: Ask) -> list[Candidate]:
    """Return what the last word of a line may become.

    Args:
        line: up to the cursor, with the program's name.
        root: the commands.
        ask: returns what there is on the bus of a kind, where the line has these options.
    """
    said = typed(line, root)
    if said is None:
        return []
    if said.value_of is not None:
        return _values(said.value_of.kind, said, ask)
    if said.last.startswith("-") and not said.ended:
        name, equals, _ = said.last.partition("=")
        of = named(said.node, name)
        if equals:
            return [] if of is None else _values(of.kind, said, ask, f"{name}=")
        return _options(said)
    if said.node.commands:
        return [
            Candidate(each.path[-1], each.short) for each in said.node.commands if each.path[-1].startswith(said.last)
        ]
    return _arguments(said, ask)


def _arguments(said: Typed, ask: Ask) -> list[Candidate]:
    own = said.node.arguments
    if said.arguments and said.node.as_it_stands:
        return [FILES]
    if not own or (said.arguments >= len(own) and not own[-1].many):
        return []
    found = _values(own[min(said.arguments, len(own) - 1)].kind, said, ask)
    return [one for one in found if one.value not in said.words]


def _values(kind: str, said: Typed, ask: Ask, prefix: str = "") -> list[Candidate]:
    begun = said.last.removeprefix(prefix)
    found = _of_kind(kind, said.given, ask)
    if found in ([FILES], [DIRECTORIES]):
        return found
    return [one._replace(value=prefix + one.value) for one in found if one.value.startswith(begun)]


def _options(said: Typed) -> list[Candidate]:
    last = said.last
    # Those of the connection only when their beginning is typed: they would hide the others.
    return [
        Candidate(name, each.help)
        for each in said.node.options
        if each.repeatable or not said.seen.intersection(each.names)
        for name in each.names
        if name.startswith(last)
        and (len(name) > 2 or len(last) == 2)
        and (each.section != "Connection" or len(last) > 2)
    ]


# -- what values there are


_FIXED: Final[dict[str, Iterable[str]]] = {
    "words": WORDS,
    "verbs": COMMANDS,
    "signals": [one.name for one in signal.Signals],
    "groups": ["none", *dict.fromkeys(command.group for command in COMMANDS.values()), "all"],
    "formats": ["table", "json", "docker"],
    "levels": ["debug", "info", "warning", "error"],
    "schemas": [*WORDS, *(f"command.{verb}" for verb in COMMANDS), "envelope", "state"],
}


def _of_kind(kind: str, given: dict[str, str], ask: Ask) -> list[Candidate]:
    if kind == "files":
        return [FILES]
    if kind == "directories":
        return [DIRECTORIES]
    if kind in _FIXED:
        return [Candidate(value) for value in _FIXED[kind]]
    if "|" in kind:
        return [Candidate(value) for value in kind.split("|") if value.islower()]
    return ask(kind, given) if kind else []


def on_bus(kind: str, given: dict[str, str]) -> list[Candidate]:
    """Return what there is on the bus, as it was within the last seconds; nothing where that is not known soon."""
    config = _config(given)
    chosen = [given.get("--node", ""), given.get("--namespace", "")]
    key = hashlib.sha256(repr((kind, config.nats, config.root, str(config.state_dir), chosen)).encode()).hexdigest()[
        :32
    ]
    file = _cache() / f"{key}.json"
    with suppress(OSError, msgspec.DecodeError):
        if time.time() - file.stat().st_mtime < FRESH_S:
            return [Candidate(*one) for one in msgspec.json.decode(file.read_bytes(), type=list[list[str]])]
    found = [one for one in asyncio.run(_within(PATIENCE_S, kind, config, *chosen)) if one.harmless]
    if found:
        _keep(file, [list(one) for one in found])
    return found


def _config(given: dict[str, str]) -> Config:
    fields = {option(f"nats.{name}"): f"nats.{name}" for name in NatsConfig.__struct_fields__}
    fields |= {option(name): name for name in ("root", "state_dir")}
    options: dict[str, Any] = {fields[name]: value for name, value in given.items() if name in fields}
    config = load(options, file=Path(given["--config"]) if "--config" in given else None)
    if config.nats == NatsConfig():
        from bridge.client.connect import embedded_here  # noqa: PLC0415 - what needs no bus does without its client

        return msgspec.structs.replace(config, nats=embedded_here(config.state_dir) or config.nats)
    return config


async def _within(patience_s: float, kind: str, config: Config, node: str, namespace: str) -> list[Candidate]:
    try:
        return await asyncio.wait_for(_asked(kind, config, node, namespace), patience_s)
    except (TimeoutError, BridgeError):
        return []


async def _asked(kind: str, config: Config, node: str, namespace: str) -> list[Candidate]:
    from bridge.client import connect  # noqa: PLC0415 - as above

    async with connect(config.nats, root=config.root, state_dir=config.state_dir) as bus:
        match kind:
            case "nodes":
                found = [Candidate(one.node, one.version) for one in await bus.known_nodes(wait=0.1)]
            case "jobs":
                found = [Candidate(one.id, f"{one.verb} {one.standing}") for one in await bus.jobs.list()]
            case "checkpoints":
                found = [Candidate(f"{one.container}/{one.name}", one.node) for one in await bus.checkpoints.list()]
            case _:
                states = await bus.states(node=listed(node or ()), namespace=listed(namespace or ()))
                found = _of_states(kind, [one for one in states if one.status != "gone"])
    return found


def _of_states(kind: str, states: Sequence[ContainerState]) -> list[Candidate]:
    if kind == "containers":
        return [Candidate(one.name or one.container, f"{one.status} on {one.node}") for one in states]
    values = {one.namespace if kind == "namespaces" else one.image for one in states}
    return [Candidate(each) for each in sorted(each for each in values if each)]


# -- what is kept


def known() -> Node:
    """Return the commands, from the file that is kept of them; made anew for another version."""
    newest = max(file.stat().st_mtime_ns for file in HERE.glob("*.py"))
    file = (
        _cache() / f"commands-{hashlib.sha256(f'{HERE} {bridge.__version__} {newest}'.encode()).hexdigest()[:16]}.json"
    )
    with suppress(OSError, msgspec.MsgspecError):
        return decoder(Node).decode(file.read_bytes())
    found = tree()
    _keep(file, found)
    return found


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "containerd-bridge" / "completion"


def _keep(file: Path, what: Any) -> None:
    with suppress(OSError):
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = file.with_suffix(f".{os.getpid()}")
        new.write_bytes(msgspec.json.encode(what))
        new.replace(file)
        for other in file.parent.iterdir():  # of other versions, other buses
            if time.time() - other.stat().st_mtime > 86_400 and other.name != file.name:
                other.unlink()
