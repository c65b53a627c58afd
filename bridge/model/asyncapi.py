"""Everything that crosses the bus as one AsyncAPI 3 document, for tools that draw it, and make code of it.

It is generated from the structs and refers to nothing outside of itself. It speaks from the bridge's side, as the standard has
it: what a bridge sends, others read, and what it receives, others send. AsyncAPI knows no streams and no buckets, so what
JetStream keeps, and under which name, is told in the descriptions.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, Final

import bridge
from bridge.model.catalogue import ROOT, addresses, can_be_job
from bridge.model.commands import COMMANDS, Command
from bridge.model.envelope import CONTENT_TYPE, EVENT_TYPES, Recorded
from bridge.model.kinds import schema_of
from bridge.model.node_events import NodeEvent
from bridge.model.outcomes import Judged, Outcome
from bridge.model.schema import RECORDS, described, form_of
from bridge.model.stdio import TRUNCATIONS
from bridge.model.wording import summary

__all__ = ["VERSION", "asyncapi"]

VERSION: Final = "3.0.0"
QUEUE: Final = "q"
_REFERENCE: Final = "#/components/schemas/{name}"
_RECORDED: Final = re.compile(r"\bRecorded_Any_?\b")

PARAMETERS: Final[Mapping[str, str]] = {
    "node": "Name of the node: of the host, as its bridge was told it.",
    "namespace": "containerd's namespace; `-` for none.",
    "container": "Id of the container; `-` for none.",
    "process": "Id of the exec; `-` for the container's own process.",
    "event": "What happened, in one word.",
    "verb": "What is to be done.",
    "line": "Which of the process's streams.",
    "command": "Id of the command.",
    "name": "Its name.",
    "source": "The node that the container comes from.",
    "target": "The node that it goes to.",
    "migration": "Id of the migration.",
}
QUOTED: Final = (
    "One token of a subject: every byte outside of `[A-Za-z0-9_-]` is `=` and two upper-case hex digits, "
    "so `k8s.io` is `k8s=2Eio`."
)
PLAIN: Final = {"event", "verb", "line"}
"""Tokens that are ours, and need no quoting."""

DESCRIPTION: Final = """\
containerd-bridge writes everything that happens to the containers of a host's containerd into one ordered, replayable log on
NATS JetStream, and takes commands for these containers from the same bus. Every message is plain JSON; events are CloudEvents 1.0
in structured mode.

Events are in the stream `{upper}_EVENTS`. State is in key-value buckets, whose keys are the last tokens of the subjects
`$KV.BUCKET.KEY`. A command is a request whose reply is its outcome, or a durable job in the work-queue stream `{upper}_JOBS`,
whose outcome stands in the bucket `{root}-commands`. Node, verb and container are tokens of the subject, so that the permissions
of NATS are the access control.

Every node that takes commands answers as the NATS micro service `containerd-bridge` to `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`,
and for its schemas as `containerd-bridge-schemas`."""


def asyncapi(root: str = ROOT) -> dict[str, Any]:
    """Return the document, for a bus whose subjects begin with `root`."""
    where = addresses(root)
    return {
        "asyncapi": VERSION,
        "info": {
            "title": "containerd-bridge",
            "version": bridge.__version__,
            "description": DESCRIPTION.format(root=root, upper=root.upper()),
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "127.0.0.1:4222",
                "protocol": "nats",
                "description": "A nats-server from 2.9 on, with JetStream.",
                "security": [{"$ref": f"#/components/securitySchemes/{name}"} for name in ("password", "certificate")],
            }
        },
        "channels": _channels(root, where),
        "operations": _operations(root),
        "components": {
            "schemas": _schemas(),
            "messages": _messages(),
            "correlationIds": {
                "ofEvent": {
                    "location": "$message.payload#/correlationid",
                    "description": "Id of the command that the event belongs to; absent where no command caused it.",
                },
                "ofCommand": {
                    "location": "$message.payload#/id",
                    "description": "Id of the command: the sender's, or one that the bridge makes.",
                },
            },
            "securitySchemes": {
                "password": {
                    "type": "userPassword",
                    "description": "A user's name and password, or a token, nkey or creds.",
                },
                "certificate": {"type": "X509", "description": "A client's certificate (mTLS)."},
            },
        },
    }


# -- channels


def _channels(root: str, where: Mapping[str, str]) -> dict[str, Any]:
    upper = root.upper()
    place = "{node}.{namespace}.{container}"
    words = {name: event.word for name, event in EVENT_TYPES.items()}
    of_nodes = [name for name, event in EVENT_TYPES.items() if issubclass(event, NodeEvent)]
    of_containers = [name for name in EVENT_TYPES if name not in of_nodes]
    jobs = [verb for verb, command in COMMANDS.items() if can_be_job(command)]
    channels = {
        "containerEvents": _channel(
            f"{root}.events.{place}.{{event}}",
            f"What happens to containers, in the stream `{upper}_EVENTS`. Of one container it is in order, and by `sequence` "
            "without holes.",
            of_containers,
            event=[words[name] for name in of_containers],
        ),
        "nodeEvents": _channel(
            f"{root}.nodes.{{node}}.{{event}}",
            f"What happens to a node: its bridge, its containerd, its images. In the stream `{upper}_EVENTS` too. A `gap` says "
            "from when to when events of containers may be missing.",
            of_nodes,
            event=[words[name] for name in of_nodes],
        ),
    }
    for verb in COMMANDS:
        name = f"command.{verb}"
        channels[name] = _channel(where[name], f"Requests to {verb}; the reply is an outcome.", [name])
    channels |= {
        "replies": {
            "address": None,
            "title": "Replies",
            "description": "The inbox that NATS makes for each request, and names in it.",
            "messages": _referred(
                [*(f"outcome.{verb}" for verb in COMMANDS), "stdio.input-reply", "schema", "error"],
            ),
        },
        "jobs": _channel(
            f"{root}.jobs.{place}.{{verb}}",
            f"Commands as durable jobs, in the work-queue stream `{upper}_JOBS`; the outcome of each stands in the bucket "
            f"`{root}-commands`.",
            [f"command.{verb}" for verb in jobs],
            verb=jobs,
        ),
        "output": _channel(
            f"{root}.stdio.{place}.{{process}}.{{line}}",
            f"What processes write, in the stream `{upper}_STDIO`: bytes as they are.",
            ["stdio.piece", "stdio.end"],
            line=["stdout", "stderr"],
        ),
        "input": _channel(
            f"{root}.stdio.{place}.{{process}}.stdin",
            "What processes read: requests, each answered when its bytes have reached the process's pipe.",
            ["stdio.input"],
        ),
        "credit": _channel(
            where["stdio.credit"], "How much of its output the owner of a process has read.", ["stdio.credit"]
        ),
        "progress": _channel(where["progress"], "How far long commands have come; kept nowhere.", ["progress"]),
        "schemas": _channel(
            where["schemas"],
            f"Requests for a schema by its name, this document (`asyncapi`) and the `index` of all; any node answers. "
            f"`{root}.schemas.{{name}}.{{node}}` asks one node.",
            ["request"],
        ),
    }
    for name, bucket, says in (
        ("state", "state", "The state of every container, after the last of its events."),
        ("node", "nodes", "Every node that has a bridge."),
        ("command-state", "commands", "How every command stands, and its outcome; kept for fourteen days."),
        ("migration", "migrations", "How every migration is."),
        ("checkpoint", "checkpoints", "Every checkpoint in the catalogue."),
    ):
        channels[name] = _channel(where[name], f"{says} The key-value bucket `{root}-{bucket}`.", [name])
    return channels


def _channel(address: str, description: str, messages: Iterable[str], **words: list[str]) -> dict[str, Any]:
    parameters = {name: _parameter(name, words.get(name)) for name in re.findall(r"\{(\w+)\}", address)}
    return {
        "address": address,
        "description": description,
        "messages": _referred(messages),
        **({"parameters": parameters} if parameters else {}),
    }


def _parameter(name: str, words: list[str] | None) -> dict[str, Any]:
    says = PARAMETERS[name] if name in PLAIN else f"{PARAMETERS[name]} {QUOTED}"
    return {"description": says, **({"enum": words} if words else {})}


def _referred(messages: Iterable[str]) -> dict[str, Any]:
    return {name: {"$ref": f"#/components/messages/{name}"} for name in messages}


# -- operations


def _operations(root: str) -> dict[str, Any]:
    operation = partial(_operation, root)
    found = {
        "tellContainerEvents": operation("send", "containerEvents", "Every event of every container, in order."),
        "tellNodeEvents": operation("send", "nodeEvents", "Every event of the node."),
    }
    for verb, command in COMMANDS.items():
        name = f"command.{verb}"
        found[name] = operation("receive", name, summary(command), replies=[f"outcome.{verb}"])
    return found | {
        "takeJobs": operation("receive", "jobs", "One worker for each node, in the order of the stream."),
        "tellOutput": operation("send", "output", "What processes write."),
        "takeInput": operation("receive", "input", "What processes read.", replies=["stdio.input-reply"]),
        "takeCredit": operation("receive", "credit", "What owners of processes have read."),
        "tellProgress": operation("send", "progress", "How far long commands have come."),
        "giveSchemas": operation("receive", "schemas", "Schemas of everything.", replies=["schema", "error"]),
        "writeState": operation("send", "state", "A container's state, soon after it has changed."),
        "writeNode": operation("send", "node", "The node's record, and that its bridge is alive."),
        "writeCommandState": operation("send", "command-state", "How a command stands, whenever that changes."),
        "writeMigration": operation("send", "migration", "Each step of a migration, by compare-and-set."),
        "writeCheckpoint": operation("send", "checkpoint", "What the catalogue knows of a checkpoint."),
    }


def _operation(_root: str, action: str, channel: str, summary: str, replies: Iterable[str] = ()) -> dict[str, Any]:
    found: dict[str, Any] = {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}
    if replies:
        found["bindings"] = {"nats": {"queue": QUEUE, "bindingVersion": "0.1.0"}}
        found["reply"] = {
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": f"#/channels/replies/messages/{name}"} for name in replies],
        }
    return found


# -- messages and schemas


def _messages() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, event in EVENT_TYPES.items():
        found[name] = {
            "name": name,
            "title": event.__name__,
            "summary": summary(event),
            "contentType": CONTENT_TYPE,
            "correlationId": {"$ref": "#/components/correlationIds/ofEvent"},
            "headers": _headers({"Nats-Msg-Id": "The event's `id`.", "Content-Type": f"`{CONTENT_TYPE}`."}),
            "payload": _narrowed("Recorded", {"type": {"const": name}, "data": _schema(event.__name__)}),
        }
    for verb, command in COMMANDS.items():
        found[f"command.{verb}"] = {
            "name": f"command.{verb}",
            "title": command.__name__,
            "summary": summary(command),
            "correlationId": {"$ref": "#/components/correlationIds/ofCommand"},
            "payload": _schema(command.__name__),
        }
        result = {"anyOf": [_schema(command.result.__name__), _schema("Judged"), {"type": "null"}]}
        found[f"outcome.{verb}"] = {
            "name": f"outcome.{verb}",
            "title": f"Outcome of {verb}",
            "summary": summary(Outcome),
            "correlationId": {"$ref": "#/components/correlationIds/ofCommand"},
            "payload": _narrowed("Outcome", {"verb": {"const": verb}, "result": result}),
        }
    for name, record in RECORDS.items():
        title = record.__name__
        found[name] = {"name": name, "title": title, "summary": summary(record), "payload": _schema(title)}
    return found | _of_stdio() | _of_schemas()


def _of_stdio() -> dict[str, Any]:
    piece = {
        "Stdio-Session": "Id of the run of the process.",
        "Stdio-Offset": "Where in the stream the piece begins, in bytes.",
    }
    reasons = "; ".join(f"`{word}`: {says}" for word, says in TRUNCATIONS.items())
    end = {
        "Stdio-Session": piece["Stdio-Session"],
        "Stdio-End": "`1`.",
        "Stdio-Bytes": "How many bytes the process wrote.",
        "Stdio-Sha256": "Of all of them; absent where nobody can say.",
        "Stdio-Truncated": f"Why there may have been more; absent where there was no more. {reasons}.",
        "Stdio-Exit-Status": "Of the process; absent where nobody knows.",
        "Stdio-Timed-Out": "`1` where it was killed because its time was up.",
    }
    given = {
        **piece,
        "Stdio-End": "`1` on the last piece.",
        "Stdio-Writer": "Who writes, unique.",
        "Stdio-Key": "The session's key, from the reply to the command that started the process.",
    }
    needed = ["Stdio-Session", "Stdio-Offset"]
    octets = {
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "description": "Bytes as they are."},
    }
    return {
        "stdio.piece": {
            "name": "stdio.piece",
            "title": "Piece of output",
            **octets,
            "headers": _headers(
                {**piece, "Nats-Msg-Id": "`SESSION.STREAM.OFFSET`, the offset behind the piece."}, needed
            ),
        },
        "stdio.end": {
            "name": "stdio.end",
            "title": "End of output",
            **octets,
            "headers": _headers(end, ["Stdio-Session", "Stdio-End", "Stdio-Bytes"]),
        },
        "stdio.input": {"name": "stdio.input", "title": "Piece of input", **octets, "headers": _headers(given, needed)},
    }


def _of_schemas() -> dict[str, Any]:
    return {
        "request": {"name": "request", "title": "Request for a schema", "payload": {"type": "string", "maxLength": 0}},
        "schema": {
            "name": "schema",
            "title": "Schema",
            "contentType": "application/schema+json",
            "headers": _headers({"Bridge-Version": "Version of the bridge that answers.", "Bridge-Node": "Its node."}),
            "payload": {"type": "object"},
        },
        "error": {
            "name": "error",
            "title": "Error",
            "headers": _headers(
                {
                    "Nats-Service-Error-Code": "`404`: none of this name. `413`: larger than a message may be here.",
                    "Nats-Service-Error": "A sentence.",
                }
            ),
            "payload": {"type": "string", "maxLength": 0},
        },
    }


def _headers(says: Mapping[str, str], required: Iterable[str] = ()) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in says.items()}
    return {"type": "object", "properties": properties, **({"required": list(required)} if required else {})}


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": _REFERENCE.format(name=name)}


def _narrowed(name: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"allOf": [_schema(name), {"type": "object", "properties": properties}]}


def _schemas() -> dict[str, Any]:
    commands: list[type[Command]] = list(COMMANDS.values())
    results = {command.result: None for command in commands}  # many have the same
    kinds: list[Any] = [Recorded[Any], *EVENT_TYPES.values(), *commands, *results, Judged, Outcome, *RECORDS.values()]
    _, definitions = schema_of(kinds, form_of, _REFERENCE)
    described(definitions, kinds)
    named: dict[str, Any] = json.loads(_RECORDED.sub("Recorded", json.dumps(definitions)))
    return dict(sorted(named.items()))
