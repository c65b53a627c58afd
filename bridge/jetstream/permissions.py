"""What NATS has to permit each role: the first line of defence, since verb and container stand in the subject.

    reader       reads the log, the states, the nodes, the records of checkpoints and how migrations are; commands nothing. It and
                 all below may ask for schemas
    namespace    looks at, starts, stops and deletes the containers of one namespace, reads what happens to them, waits for the
                 outcomes of its commands and lists them
    container    the same for one container
    node         the bridge of one node

Nobody but the bridges may write to the log. The operators of the files may not run processes or make containers: that is root on
the host, or close to it. `--print namespace --groups observe,lifecycle,exec,create` prints a set for one who may.

`python -m bridge.jetstream.permissions` writes `deploy/nats/`, `--check` tells whether that is up to date, so the files say what
the program needs. They are held to it by tests against real servers.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from bridge.jetstream.access import domain_api
from bridge.jetstream.api import PREFIX
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.checkpoint_buckets import chunk_subject, object_stream
from bridge.jetstream.checkpoint_records import IMPORTED as IMPORTED_KEY
from bridge.jetstream.micro import SERVICE
from bridge.jetstream.output_stream import output_stream_name
from bridge.jetstream.streams import stream_name
from bridge.model.commands import COMMANDS, Group, Receive, groups_from
from bridge.model.subjects import Subjects, quote

__all__ = ["ROLES", "Permitted", "Role", "listed", "permitted", "rendered"]

Role: TypeAlias = Literal["reader", "namespace", "container", "node"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)

DIRECTORY: Final = Path("deploy/nats")
FILES: Final[dict[Role, str]] = {
    "reader": "reader.conf",
    "namespace": "operator-namespace.conf",
    "container": "operator-container.conf",
    "node": "node.conf",
}
IMPORTED: Final = "operator-imported.conf"
"""An operator of one namespace from another account, who reads through imports: see `accounts.conf`."""
IMPORTED_PREFIX: Final = "JS.containerd.API"
LEAF: Final = "leaf-node.conf"
"""The bridge of a node beside a leaf node, and that leaf node itself at the hub: see `hub.conf` and `leaf.conf`."""
LEAF_DOMAIN: Final = "hub"
_LEAF_VARIABLE: Final = "CONTAINERD_LEAF_NODE"
VARIABLES: Final[dict[Role, str]] = {
    "reader": "CONTAINERD_READER",
    "namespace": "CONTAINERD_OPERATOR_OF_NAMESPACE",
    "container": "CONTAINERD_OPERATOR_OF_CONTAINER",
    "node": "CONTAINERD_NODE",
}
_SAYS: Final[dict[Role, str]] = {
    "reader": "Reads the log of container events, the states, the nodes, the records of checkpoints and how migrations are.",
    "namespace": "Looks at and changes the containers of NAMESPACE on every node, and reads what happens to them.",
    "container": "Looks at and changes the container CONTAINER of NAMESPACE on every node, and reads what happens to it.",
    "node": "The bridge of node NODE.",
}

USER_INFO: Final = "$SYS.REQ.USER.INFO"
OPERATED: Final[tuple[Group, ...]] = ("observe", "lifecycle")
"""The groups of verbs that the operators of the files may send."""


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
    groups: Collection[Group] = OPERATED,
    api_prefix: str = PREFIX.removesuffix("."),
    domain: str = "",
) -> Permitted:
    """Return what a role needs.

    Args:
        role: which one.
        subjects: the subjects of the bus.
        inbox: what the subjects of its answers begin with; its own, or everybody hears everybody's answers.
        node: the node, for its bridge.
        namespace: the namespace, for operators.
        container: the container, for an operator of one.
        groups: the groups of verbs that an operator may send.
        api_prefix: the login's `nats.api_prefix`.
        domain: the login's `nats.domain`.
    """
    place = (node, namespace, container)
    found = _permitted(role, subjects, inbox, place, groups)
    prefix = f"{domain_api(domain) if domain else api_prefix}."

    def asked(subject: str) -> str:
        if subject.startswith(PREFIX):
            return prefix + subject.removeprefix(PREFIX)
        return prefix + subject if domain and subject.startswith("$KV.") else subject

    return found._replace(publish=[asked(subject) for subject in found.publish])


def _permitted(
    role: Role, subjects: Subjects, inbox: str, place: tuple[str, str, str], groups: Collection[Group]
) -> Permitted:
    node, namespace, container = place
    look = [USER_INFO, f"{PREFIX}INFO", f"$SRV.INFO.{SERVICE}", subjects.schema_filter()]
    match role:
        case "reader":
            publish = [
                *look,
                *_reading(subjects),
                *_looking_at_checkpoints(subjects),
                *_looking_at_migrations(subjects),
            ]
            return Permitted(publish, [f"{inbox}.>"])
        case "namespace" | "container":
            only = container if role == "container" else None
            followed = f"$KV.{subjects.command_bucket}.*.{_place(namespace, only)}.*"
            publish = [
                *look,
                *_reading(subjects, namespace, only),
                *_commanding(subjects, namespace, only, groups),
                *_following(subjects, followed),
            ]
            subscribe = [f"{inbox}.>", followed]
            if "exec" in groups:
                publish += _at_stdio(subjects, namespace, only)
            if "checkpoint" in groups:
                publish += _looking_at_checkpoints(subjects, namespace, only)
                publish += _reading_checkpoints(subjects, namespace, only)
            if "create" in groups and only is None:
                publish += _sending_archives(subjects)
                subscribe.append(f"{subjects.root}.progress.*.*")
            return Permitted(publish, subscribe)
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
    # Reading under a name: how far it has come, and that it has come further.
    yield f"{PREFIX}CONSUMER.INFO.{log}.*"
    yield f"$JS.ACK.{log}.>"
    yield f"{PREFIX}CONSUMER.CREATE.{nodes}.>"
    yield f"{PREFIX}STREAM.MSG.GET.{nodes}"
    if namespace is None:
        yield f"{PREFIX}CONSUMER.CREATE.{log}.>"
        yield f"{PREFIX}CONSUMER.CREATE.{states}.>"
        return
    place = _place(namespace, container)
    yield f"{PREFIX}CONSUMER.CREATE.{log}.*.{subjects.root}.events.*.{place}.*"
    yield f"{PREFIX}CONSUMER.CREATE.{log}.*.{subjects.root}.nodes.*.*"
    yield f"{PREFIX}CONSUMER.CREATE.{states}.*.$KV.{subjects.state_bucket}.*.{place}"


def _place(namespace: str, container: str | None) -> str:
    return f"{quote(namespace)}.{'*' if container is None else quote(container)}"


def _commanding(subjects: Subjects, namespace: str, container: str | None, groups: Collection[Group]) -> Iterator[str]:
    """Iterate over the subjects of commands: as requests, and as durable jobs where they change something."""
    root = subjects.root
    for verb, command in COMMANDS.items():
        if command.group not in groups or command is Receive:  # which bridges alone may send
            continue
        if command.targets == "node" and command.group == "observe":
            yield f"{root}.commands.*.-.-.{verb}"
        places = []
        if command.targets in {"namespace", "any"} and container is None:
            places.append(f"{quote(namespace)}.-")
        if command.targets in {"container", "any"}:
            places.append(_place(namespace, container))
        for place in places:
            yield f"{root}.commands.*.{place}.{verb}"
            if command.group != "observe" and not command.repeatable:
                yield f"{root}.jobs.*.{place}.{verb}"


def _following(subjects: Subjects, followed: str) -> Iterator[str]:
    """Iterate over what it takes to hear how one's own commands stand."""
    bucket = f"KV_{subjects.command_bucket}"
    yield f"{PREFIX}STREAM.INFO.{bucket}"
    yield f"{PREFIX}CONSUMER.CREATE.{bucket}.*.{followed}"
    yield f"{PREFIX}CONSUMER.MSG.NEXT.{bucket}.*"
    yield f"{PREFIX}CONSUMER.DELETE.{bucket}.*"


def _at_stdio(subjects: Subjects, namespace: str, container: str | None) -> list[str]:
    """Return what it takes to read what processes write, and to write what they read."""
    stream, place = output_stream_name(subjects), _place(namespace, container)
    return [
        f"{PREFIX}STREAM.INFO.{stream}",
        f"{PREFIX}CONSUMER.CREATE.{stream}.*.{subjects.root}.stdio.*.{place}.*.*",
        f"{PREFIX}CONSUMER.MSG.NEXT.{stream}.*",
        f"{PREFIX}CONSUMER.DELETE.{stream}.*",
        f"{subjects.root}.stdio.*.{place}.*.stdin",
        f"{subjects.root}.stdio.*.{place}.*.credit",
    ]


def _sending_archives(subjects: Subjects) -> list[str]:
    """Return what it takes to put archives of images where nodes find them; the store is everybody's."""
    archives = f"OBJ_{subjects.archive_bucket}"
    return [
        *(f"{PREFIX}STREAM.{verb}.{archives}" for verb in ("INFO", "CREATE", "MSG.GET", "PURGE")),
        f"$O.{subjects.archive_bucket}.>",
    ]


def _looking_at_checkpoints(
    subjects: Subjects, namespace: str | None = None, container: str | None = None
) -> Iterator[str]:
    """Iterate over what it takes to read records of checkpoints; those that were imported have a word more in their keys."""
    bucket = subjects.checkpoint_bucket
    stream = bucket_stream(bucket)
    yield f"{PREFIX}STREAM.INFO.{stream}"
    yield f"{PREFIX}STREAM.INFO.{object_stream(bucket)}"
    yield f"{PREFIX}CONSUMER.MSG.NEXT.{stream}.*"
    yield f"{PREFIX}CONSUMER.DELETE.{stream}.*"
    if namespace is None:
        yield f"{PREFIX}CONSUMER.CREATE.{stream}.>"
        return
    for key in (f"*.{_place(namespace, container)}.*", f"{IMPORTED_KEY}.*.{_place(namespace, container)}.*"):
        yield f"{PREFIX}CONSUMER.CREATE.{stream}.*.{key_subject(bucket, key)}"


def _looking_at_migrations(subjects: Subjects) -> Iterator[str]:
    """Iterate over what it takes to read the register of migrations."""
    stream = bucket_stream(subjects.migration_bucket)
    yield f"{PREFIX}STREAM.INFO.{stream}"
    yield f"{PREFIX}CONSUMER.CREATE.{stream}.>"
    yield f"{PREFIX}CONSUMER.MSG.NEXT.{stream}.*"
    yield f"{PREFIX}CONSUMER.DELETE.{stream}.*"


def _reading_checkpoints(subjects: Subjects, namespace: str, container: str | None) -> list[str]:
    """Return what it takes to read archives of checkpoints: of all it can be told how large they are, and these can be read."""
    bucket = subjects.checkpoint_bucket
    stream = object_stream(bucket)
    return [
        f"{PREFIX}CONSUMER.CREATE.{stream}.*.$O.{bucket}.M.*",
        f"{PREFIX}CONSUMER.CREATE.{stream}.*.{chunk_subject(bucket, f'*.{_place(namespace, container)}.*')}",
        f"{PREFIX}CONSUMER.MSG.NEXT.{stream}.*",
        f"{PREFIX}CONSUMER.DELETE.{stream}.*",
    ]


def _keeping_checkpoints(subjects: Subjects, own: str) -> Iterator[str]:
    """Iterate over what a bridge needs of the catalogue: it reads and removes all of it, and adds what is its node's own."""
    bucket = subjects.checkpoint_bucket
    for stream in (bucket_stream(bucket), object_stream(bucket)):
        yield from (f"{PREFIX}STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "MSG.GET", "PURGE"))
        yield from (f"{PREFIX}CONSUMER.{verb}.{stream}.>" for verb in ("CREATE", "DELETE", "MSG.NEXT"))
    yield key_subject(bucket, f"{own}.*.*.*")
    yield chunk_subject(bucket, f"{own}.*.*.*")
    yield f"$O.{bucket}.M.*"


def _bridging(subjects: Subjects, node: str, inbox: str) -> Permitted:
    root, own = subjects.root, quote(node)
    upper = root.upper()
    streams = [stream_name(subjects), f"{upper}_STDIO", f"{upper}_JOBS", f"{upper}_QUARANTINE"]
    streams += [f"KV_{root}-{name}" for name in ("state", "nodes", "commands", "migrations")]
    publish = [USER_INFO, f"{PREFIX}INFO"]
    publish.append(f"{PREFIX}STREAM.UPDATE.{streams[0]}")  # for fast ingest, where the server has it
    for stream in streams:
        publish += [f"{PREFIX}STREAM.{verb}.{stream}" for verb in ("INFO", "CREATE", "MSG.GET")]
        publish += [f"{PREFIX}CONSUMER.{verb}.{stream}.>" for verb in ("CREATE", "INFO", "DELETE", "MSG.NEXT")]
    archives = f"OBJ_{subjects.archive_bucket}"  # read by `import`; whoever sends them makes the store
    publish += [f"{PREFIX}STREAM.{verb}.{archives}" for verb in ("INFO", "MSG.GET")]
    publish += [f"{PREFIX}CONSUMER.CREATE.{archives}"]
    publish += [f"{PREFIX}CONSUMER.{verb}.{archives}.>" for verb in ("CREATE", "INFO", "DELETE", "MSG.NEXT")]
    publish += [f"{root}.events.{own}.>", f"{root}.nodes.{own}.*", f"{root}.stdio.{own}.>", f"{root}.progress.{own}.>"]
    publish.append(f"{root}.quarantine.{own}")
    publish += [f"$KV.{root}-state.{own}.>", f"$KV.{root}-nodes.{own}", f"$KV.{root}-commands.{own}.>"]
    # Of a migration either end writes what the other one reads, and asks it for its part; nobody else does.
    publish += [f"$KV.{root}-migrations.{own}.>", f"$KV.{root}-migrations.*.{own}.>"]
    publish.append(f"{PREFIX}STREAM.PURGE.KV_{root}-migrations")
    publish += [f"{root}.commands.*.*.*.{Receive.verb}", f"$SRV.INFO.{SERVICE}"]
    publish += _keeping_checkpoints(subjects, own)
    publish += [f"$JS.ACK.{upper}_JOBS.>", "_INBOX.>", "_R_.>"]
    subscribe = [f"{root}.commands.{own}.>", f"{root}.stdio.{own}.>", "$SRV.>", f"{inbox}.>"]
    subscribe += [subjects.schema("*"), subjects.schema("*", node)]
    return Permitted(publish, subscribe)


# -- the files


def listed(variable: str, found: Permitted) -> str:
    """Return permissions as a variable in nats-server's configuration language."""
    lines = [f"{variable} = {{"]
    for direction, subjects in zip(("publish", "subscribe"), found, strict=True):
        lines += [f"  {direction}: {{ allow: [", *(f'    "{subject}"' for subject in subjects), "  ] }"]
    return "\n".join([*lines, "}", ""])


def rendered(role: Role, subjects: Subjects | None = None, *, imported: bool = False, leaf: bool = False) -> str:
    """Return the file of a role: a variable in nats-server's configuration language, to be included where users are."""
    inbox = {"node": "_INBOX.NODE", "reader": "_INBOX.READER"}.get(role, "_INBOX.OPERATOR")
    prefix = IMPORTED_PREFIX if imported else PREFIX.removesuffix(".")
    domain = LEAF_DOMAIN if leaf else ""
    found = permitted(role, subjects or Subjects(), inbox=inbox, api_prefix=prefix, domain=domain)
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
        listed(_LEAF_VARIABLE if leaf else VARIABLES[role], found),
    ]
    if imported:
        lines.insert(
            3,
            f'# And `nats.api_prefix = "{IMPORTED_PREFIX}"`, or --nats-api-prefix: it is in another account than JetStream.',
        )
    if leaf:
        lines.insert(
            3,
            f'# And `nats.domain = "{LEAF_DOMAIN}"`, or --nats-domain. At the hub the leaf node has this set too.',
        )
    return "\n".join(lines)


def _printed(options: argparse.Namespace) -> str:
    found = permitted(
        options.print,
        Subjects(options.root),
        inbox=options.inbox,
        node=options.node,
        namespace=options.namespace,
        container=options.container,
        groups=groups_from(options.groups),
        api_prefix=options.api_prefix,
        domain=options.domain,
    )
    return listed(VARIABLES[options.print], found)


def main(arguments: Sequence[str]) -> int:
    """Write the files, or with `--check` compare them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bridge.jetstream.permissions", description="Write deploy/nats/.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 and name what is not up to date")
    parser.add_argument("--print", choices=ROLES, help="write no file; print the set of this role, with these names:")
    for name in ("node", "namespace", "container"):
        parser.add_argument(f"--{name}", default=name.upper(), metavar="NAME")
    parser.add_argument("--inbox", default="_INBOX", metavar="PREFIX", help="what its login has as nats.inbox")
    parser.add_argument("--root", default="containerd", metavar="TOKEN", help="first token of every subject")
    parser.add_argument("--groups", default=",".join(OPERATED), help="what an operator may send, such as observe,exec")
    parser.add_argument("--api-prefix", default=PREFIX.removesuffix("."), metavar="PREFIX", help="its nats.api_prefix")
    parser.add_argument("--domain", default="", metavar="NAME", help="its nats.domain")
    options = parser.parse_args(arguments)
    if options.print:
        sys.stdout.write(_printed(options))
        return 0
    differing = []
    wanted = {name: rendered(role) for role, name in FILES.items()} | {
        IMPORTED: rendered("namespace", imported=True),
        LEAF: rendered("node", leaf=True),
    }
    for name, text in wanted.items():
        file = DIRECTORY / name
        if not file.exists() or file.read_text("utf-8") != text:
            differing.append(file)
            if not options.check:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(text, "utf-8")
    for file in differing if options.check else ():
        sys.stderr.write(f"{file} is not up to date; run: python -m bridge.jetstream.permissions\n")
    return 1 if options.check and differing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
