"""What schemas there are, what each is for, and under which names it is found: the same on the command line and on the bus.

A schema is found by its name (`io.containerd.task.exit.v1`, `command.stop`), by an event's short one (`exit`), by the name of its
file, and by the `dataschema` of an envelope, also that of bridges before 0.1.0, which was no absolute URI.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.model.commands import COMMANDS, Command
from bridge.model.envelope import EVENT_TYPES
from bridge.model.node_events import NodeEvent
from bridge.model.outcomes import Outcome
from bridge.model.schema import DIRECTORY, RECORDS, SCHEME, schemas
from bridge.model.subjects import NONE
from bridge.model.wording import summary

__all__ = ["DOCUMENTS", "ROOT", "addresses", "can_be_job", "document", "full_name", "index", "short_names"]

ROOT: Final = "containerd"

DOCUMENTS: Final[Mapping[str, str]] = {
    "index": "Every schema with its subject, as JSON.",
    "asyncapi": "All of it as one AsyncAPI 3 document, with what NATS has to do with it.",
}
"""What is found beside the schemas, by name."""


def addresses(root: str = ROOT) -> dict[str, str]:
    """Return the subject of everything that crosses the bus, by the name of its schema; what varies stands in braces.

    Each `{name}` is one token, quoted as `bridge.model.subjects` says. Keys of a bucket have the subject that NATS gives them.
    """
    place = "{node}.{namespace}.{container}"
    return {
        **{name: f"{root}.{_plane(event)}.{event.word}" for name, event in EVENT_TYPES.items()},
        **{f"command.{verb}": f"{root}.commands.{_target(command)}.{verb}" for verb, command in COMMANDS.items()},
        "node": f"$KV.{root}-nodes.{{node}}",
        "state": f"$KV.{root}-state.{place}",
        "command-state": f"$KV.{root}-commands.{place}.{{command}}",
        "checkpoint": f"$KV.{root}-checkpoints.{place}.{{name}}",
        "migration": f"$KV.{root}-migrations.{{source}}.{{target}}.{{namespace}}.{{container}}.{{migration}}",
        "progress": f"{root}.progress.{{node}}.{{command}}",
        "stdio.credit": f"{root}.stdio.{place}.{{process}}.credit",
        "schemas": f"{root}.schemas.{{name}}",
    }


def can_be_job(command: type[Command]) -> bool:
    """Tell whether a command may be a durable job: one that changes something and takes effect once."""
    return command.group != "observe" and not command.repeatable


def index(root: str = ROOT) -> dict[str, Any]:
    """Return every schema with what it is for."""
    subjects = addresses(root)
    entries: list[dict[str, Any]] = [
        {
            "name": "envelope",
            "kind": "event",
            "description": "The CloudEvent of every event, with its data by its type.",
            "subject": f"{root}.>",
            "stream": f"{root.upper()}_EVENTS",
        }
    ]
    for name, event in EVENT_TYPES.items():
        entries.append(
            {
                "name": name,
                "short": event.word,
                "kind": "event",
                "description": summary(event),
                "subject": subjects[name],
                "stream": f"{root.upper()}_EVENTS",
            }
        )
    for verb, command in COMMANDS.items():
        name = f"command.{verb}"
        entry = {
            "name": name,
            "kind": "command",
            "description": summary(command),
            "subject": subjects[name],
            "reply": f"outcome.{verb}",
            "group": command.group,
            "targets": command.targets,
        }
        if can_be_job(command):
            entry["job"] = subjects[name].replace(f"{root}.commands.", f"{root}.jobs.")
        entries.append(entry)
        described = f"{summary(Outcome)} Of `{verb}`, with {command.result.__name__} as result."
        entries.append({"name": f"outcome.{verb}", "kind": "outcome", "description": described})
    for name, record in RECORDS.items():
        where = {"subject": subjects[name]} if name in subjects else {}
        entries.append({"name": name, "kind": "record", "description": summary(record), **where})
    return {
        "schemas": [{"name": entry["name"], "file": f"{entry['name']}.json", **entry} for entry in entries],
        "documents": [{"name": name, "file": f"{name}.json", "description": says} for name, says in DOCUMENTS.items()],
    }


def short_names() -> dict[str, str]:
    """Return the name of every schema by the shortest one under which it is found."""
    events = {event.word: name for name, event in EVENT_TYPES.items()}
    others = [*(f"{kind}.{verb}" for verb in COMMANDS for kind in ("command", "outcome")), *RECORDS]
    return {"envelope": "envelope", **events, **{name: name for name in others}}


def full_name(name: str) -> str | None:
    """Return the name of the schema or document that has this name among its names, None where there is none such."""
    wanted = name.removeprefix(f"{SCHEME}:").removeprefix(f"{DIRECTORY}/").removesuffix(".json")
    found = short_names().get(wanted, wanted)
    return found if found in EVENT_TYPES or found in DOCUMENTS or found in short_names() else None


def document(name: str, root: str = ROOT) -> dict[str, Any] | None:
    """Return a schema or another document by any of its names, None where there is none such."""
    from bridge.model.asyncapi import asyncapi  # noqa: PLC0415 - which needs this module

    match full_name(name):
        case None:
            return None
        case "index":
            return index(root)
        case "asyncapi":
            return asyncapi(root)
        case found:
            return schemas()[f"{found}.json"]


def _plane(event: type[Any]) -> str:
    return "nodes.{node}" if issubclass(event, NodeEvent) else "events.{node}.{namespace}.{container}"


def _target(command: type[Command]) -> str:
    match command.targets:
        case "node":
            return f"{{node}}.{NONE}.{NONE}"
        case "namespace":
            return f"{{node}}.{{namespace}}.{NONE}"
        case _:
            return "{node}.{namespace}.{container}"
