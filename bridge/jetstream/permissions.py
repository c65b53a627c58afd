"""What NATS has to permit each role: the first line of defence, since verb and container stand in the subject.

    reader       reads the log, the states and the nodes; commands nothing
    namespace    looks at, starts, stops and deletes the containers of one namespace, and reads what happens to them
    container    the same for one container
    node         the bridge of one node

Nobody but the bridges may write to the log. The operators may not run processes or make containers: that is root on the host, or
close to it, and each of those verbs is one more line.

`python -m bridge.jetstream.permissions` writes `deploy/nats/`, `--check` tells whether that is up to date, so the files say what
the program needs. They are held to it by tests against real servers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from bridge.jetstream.api import PREFIX
from bridge.jetstream.micro import SERVICE
from bridge.jetstream.streams import stream_name
from bridge.model.commands import COMMANDS
from bridge.model.subjects import Subjects, quote

__all__ = ["ROLES", "Permitted", "Role", "permitted", "rendered"]

Role: TypeAlias = Literal["reader", "namespace", "container", "node"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

DIRECTORY: Final = Path("deploy/nats")
FILES: Final[dict[Role, str]] = {
    "reader": "reader.conf",
    "namespace": "operator-namespace.conf",
    "container": "operator-container.conf",
    "node": "node.conf",
}
VARIABLES: Final[dict[Role, str]] = {
    "reader": "CONTAINERD_READER",
    "namespace": "CONTAINERD_OPERATOR_OF_NAMESPACE",
    "container": "CONTAINERD_OPERATOR_OF_CONTAINER",
    "node": "CONTAINERD_NODE",
}
_SAYS: Final[dict[Role, str]] = {
    "reader": "Reads the log of container events, the states and the nodes. Commands nothing.",
    "namespace": "Looks at and changes the containers of NAMESPACE on every node, and reads what happens to them.",
    "container": "Looks at and changes the container CONTAINER of NAMESPACE on every node, and reads what happens to it.",
    "node": "The bridge of node NODE.",
}

USER_INFO: Final = "$SYS.REQ.USER.INFO"
OPERATED: Final = ("observe", "lifecycle")
"""The groups of verbs that operators may send."""


class Permitted(NamedTuple):
    """What one role may do."""

    publish: list[str]
    subscribe: list[str]


def permitted(
    role: Role,
    subjects: Subjects,
    *,
    inbox: str,
    node: str = "NODE",
    namespace: str = "NAMESPACE",
    container: str = "CONTAINER",
) -> Permitted:
    """Return what a role needs.

    Args:
        role: which one.
        subjects: the subjects of the bus.
        inbox: what the subjects of its answers begin with; its own, or everybody hears everybody's answers.
        node: the node, for its bridge.
        namespace: the namespace, for operators.
        container: the container, for an operator of one.
    """
    look = [USER_INFO, f"{PREFIX}INFO", f"$SRV.INFO.{SERVICE}"]
    match role:
        case "reader":
            return Permitted([*look, *_reading(subjects)], [f"{inbox}.>"])
        case "namespace":
            publish = [*look, *_reading(subjects, namespace), *_commanding(subjects, namespace)]
            return Permitted(publish, [f"{inbox}.>"])
        case "container":
            publish = [*look, *_reading(subjects, namespace, container), *_commanding(subjects, namespace, container)]
            return Permitted(publish, [f"{inbox}.>"])
        case "node":
            return _bridging(subjects, node, inbox)


def _reading(subjects: Subjects, namespace: str | None = None, container: str | None = None) -> Iterator[str]:
    """Iterate over what reading needs; a filter of NATS keeps to the namespace, and to the container."""
    states, nodes = f"KV_{subjects.state_bucket}", f"KV_{subjects.node_bucket}"
    log = stream_name(subjects)
    for stream in (log, states, nodes):
        yield f"{PREFIX}STREAM.INFO.{stream}"
        yield f"{PREFIX}CONSUMER.MSG.NEXT.{stream}.*"
        yield f"{PREFIX}CONSUMER.DELETE.{stream}.*"
    yield f"{PREFIX}CONSUMER.CREATE.{nodes}.>"
    if namespace is None:
        yield f"{PREFIX}CONSUMER.CREATE.{log}.>"
        yield f"{PREFIX}CONSUMER.CREATE.{states}.>"
        return
    place = f"{quote(namespace)}.{quote(container) if container is not None else '*'}"
    yield f"{PREFIX}CONSUMER.CREATE.{log}.*.{subjects.root}.events.*.{place}.*"
    yield f"{PREFIX}CONSUMER.CREATE.{log}.*.{subjects.root}.nodes.*.*"
    yield f"{PREFIX}CONSUMER.CREATE.{states}.*.$KV.{subjects.state_bucket}.*.{place}"


def _commanding(subjects: Subjects, namespace: str, container: str | None = None) -> Iterator[str]:
    """Iterate over the subjects of commands: as requests, and as durable jobs where they change something."""
    root, one = subjects.root, "*" if container is None else quote(container)
    for verb, command in COMMANDS.items():
        if command.group not in OPERATED:
            continue
        if command.targets == "node" and command.group == "observe":
            yield f"{root}.commands.*.-.-.{verb}"  # `cancel` is for the commands of everybody
        if command.targets in {"namespace", "any"} and container is None:
            yield f"{root}.commands.*.{quote(namespace)}.-.{verb}"
        if command.targets in {"container", "any"}:
            yield f"{root}.commands.*.{quote(namespace)}.{one}.{verb}"
            if command.group != "observe" and not command.repeatable:
                yield f"{root}.jobs.*.{quote(namespace)}.{one}.{verb}"


def _bridging(subjects: Subjects, node: str, inbox: str) -> Permitted:
    root, own = subjects.root, quote(node)
    upper = root.upper()
    streams = [stream_name(subjects), f"{upper}_STDIO", f"{upper}_JOBS", f"{upper}_QUARANTINE"]
    streams += [f"KV_{root}-{name}" for name in ("state", "nodes", "commands")]
    publish = [USER_INFO, f"{PREFIX}INFO"]
    for stream in streams:
        publish += [f"{PREFIX}STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "UPDATE", "MSG.GET")]
        publish += [f"{PREFIX}CONSUMER.{verb}.{stream}.>" for verb in ("CREATE", "INFO", "DELETE", "MSG.NEXT")]
    archives = f"OBJ_{subjects.archive_bucket}"  # read by `import`; whoever sends them makes the store
    publish += [f"{PREFIX}STREAM.{verb}.{archives}" for verb in ("INFO", "MSG.GET")]
    publish += [f"{PREFIX}CONSUMER.CREATE.{archives}"]
    publish += [f"{PREFIX}CONSUMER.{verb}.{archives}.>" for verb in ("CREATE", "INFO", "DELETE", "MSG.NEXT")]
    publish += [f"{root}.events.{own}.>", f"{root}.nodes.{own}.*", f"{root}.stdio.{own}.>", f"{root}.progress.{own}.>"]
    publish.append(f"{root}.quarantine.{own}")
    publish += [f"$KV.{root}-state.{own}.>", f"$KV.{root}-nodes.{own}", f"$KV.{root}-commands.{own}.>"]
    publish += [f"$JS.ACK.{upper}_JOBS.>", "_INBOX.>", "_R_.>"]
    subscribe = [f"{root}.commands.{own}.>", f"{root}.stdio.{own}.>", "$SRV.>", f"{inbox}.>"]
    return Permitted(publish, subscribe)


# -- the files


def rendered(role: Role, subjects: Subjects | None = None) -> str:
    """Return the file of a role: a variable in nats-server's configuration language, to be included where users are."""
    inbox = {"node": "_INBOX.NODE", "reader": "_INBOX.READER"}.get(role, "_INBOX.OPERATOR")
    found = permitted(role, subjects or Subjects(), inbox=inbox)
    words = {
        "node": "NODE",
        "namespace": "NAMESPACE and OPERATOR",
        "container": "NAMESPACE, CONTAINER and OPERATOR",
        "reader": "READER",
    }
    lines = [
        f"# {_SAYS[role]}",
        f"# Replace {words[role]}; a name goes in quoted as in subjects (k8s.io is k8s=2Eio). Its login needs",
        f'# `nats.inbox = "{inbox}"` in the configuration, or --nats-inbox. Made by `python -m bridge.jetstream.permissions`.',
        f"{VARIABLES[role]} = {{",
    ]
    for direction, listed in zip(("publish", "subscribe"), found, strict=True):
        lines += [f"  {direction}: {{ allow: [", *(f'    "{subject}"' for subject in listed), "  ] }"]
    return "\n".join([*lines, "}", ""])


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` compare them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bridge.jetstream.permissions", description="Write deploy/nats/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is not up to date")
    options = parser.parse_args(arguments)
    differing = []
    for role, name in FILES.items():
        file = DIRECTORY / name
        if not file.exists() or file.read_text("utf-8") != rendered(role):
            differing.append(file)
            if not options.check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(rendered(role), "utf-8")
    for file in differing if options.check else ():
        sys.stderr.write(f"{file} is not up to date; run: python -m bridge.jetstream.permissions\n")
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
