"""An example or two for every command, at the end of its help and in the manual page: what most people want of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

__all__ = ["EXAMPLES"]

EXAMPLES: Final[Mapping[str, Sequence[str]]] = {
    "serve": ("serve --nats embedded --commands observe,lifecycle",),
    "events": ("events --type exit --exit-status '!=0'", "events --since 1h --no-follow --format docker"),
    "history": ("history web.1",),
    "ps": ("ps --all", "ps --at 10m"),
    "list": ("list --node n1",),
    "inspect": ("inspect web.1 --events 5",),
    "pids": ("pids web.1",),
    "images": ("images --node n1 --namespace default",),
    "stats": ("stats --no-stream --json",),
    "top": ("top",),
    "wait": ("wait web.1 --timeout 60",),
    "run": ("run --rm docker.io/library/busybox:latest echo hello", "run -it --name shell busybox sh"),
    "create": ("create --id web.1 --env PORT=80 nginx:1.27",),
    "start": ("start web.1", "start --attach web.1"),
    "stop": ("stop --time 30 web.1", "stop --label app=web"),
    "restart": ("restart web.1",),
    "kill": ("kill --signal SIGHUP web.1",),
    "pause": ("pause web.1",),
    "resume": ("resume web.1",),
    "update": ("update --memory 512m --cpus 1.5 web.1",),
    "delete": ("delete --force web.1",),
    "exec": ("exec -it web.1 sh", "exec web.1 cat /etc/hostname"),
    "attach": ("attach --from-start web.1",),
    "migrate": ("migrate web.1 --to n2 --check", "migrate web.1 --to n2 --pre-copy auto"),
    "resize": ("resize web.1 --width 100 --height 30",),
    "close-stdin": ("close-stdin web.1",),
    "pull": ("pull nginx:1.27",),
    "import": ("import images.tar",),
    "rmi": ("rmi nginx:1.27",),
    "doctor": ("doctor", "doctor --host --json"),
    "nodes": ("nodes",),
    "version": ("version",),
    "config": ("config show", "config check bridge.toml"),
    "schema": ("schema exit", "schema command.stop"),
    "completion": ("completion bash",),
    "jobs list": ("jobs list --all",),
    "jobs show": ("jobs show 01J9Z3",),
    "jobs cancel": ("jobs cancel 01J9Z3",),
    "jobs retry": ("jobs retry 01J9Z3",),
    "jobs drop": ("jobs drop 01J9Z3",),
    "checkpoint create": ("checkpoint create web.1 --name before-upgrade",),
    "checkpoint restore": ("checkpoint restore web.1/before-upgrade",),
    "checkpoint ls": ("checkpoint ls web.1",),
    "checkpoint inspect": ("checkpoint inspect web.1/before-upgrade",),
    "checkpoint rm": ("checkpoint rm web.1/before-upgrade",),
    "checkpoint export": ("checkpoint export web.1/before-upgrade before.tar.zst",),
    "checkpoint import": ("checkpoint import before.tar.zst",),
    "checkpoint keygen": ("checkpoint keygen /etc/containerd-bridge/checkpoints.key",),
    "state verify": ("state verify",),
    "state rebuild": ("state rebuild --node n1",),
    "policy check": ("policy check policy.toml",),
    "policy explain": ("policy explain stop web.1 --namespace default",),
}
"""Each without the program's name."""
