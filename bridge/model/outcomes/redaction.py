"""What may be told of a container to everybody who may look at it.

Arguments, environment and annotations hold passwords again and again, so whoever may only look is told their names and how many
there are: of a variable its name, of a command line its program, of an annotation its key. It is the same of a container's
spec, of its hooks, and of the processes that run in it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct, structs

from bridge.model.outcomes.containers import ContainerInfo, InspectResult, PidList, ProcessInfo

__all__ = ["concealed", "concealed_spec"]

HIDDEN: Final = "********"


def concealed(result: Struct) -> Struct:
    """Return a result without arguments, values of variables and annotations; one that tells none stays as it is."""
    match result:
        case InspectResult():
            return structs.replace(
                result, container=_container(result.container), processes=[_process(one) for one in result.processes]
            )
        case PidList():
            return structs.replace(result, processes=[_process(one) for one in result.processes])
    return result


def concealed_spec(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return an OCI spec likewise. Total: whatever stands there, nothing of it is told that would not be elsewhere."""
    found = dict(spec)
    if "process" in found:
        found["process"] = _process_spec(found["process"])
    if "annotations" in found:
        found["annotations"] = _values(found["annotations"])
    if "hooks" in found:
        hooks = found["hooks"]
        found["hooks"] = (
            {
                when: [_process_spec(one) for one in listed] if isinstance(listed, list) else HIDDEN
                for when, listed in hooks.items()
            }
            if isinstance(hooks, dict)
            else HIDDEN
        )
    return found


def _container(container: ContainerInfo) -> ContainerInfo:
    return container if container.spec is None else structs.replace(container, spec=concealed_spec(container.spec))


def _process(process: ProcessInfo) -> ProcessInfo:
    return process if process.command is None else structs.replace(process, command=_arguments(process.command))


def _process_spec(process: object) -> object:
    if not isinstance(process, dict):
        return HIDDEN
    found = dict(process)
    if "args" in found:
        found["args"] = _arguments(found["args"])
    if "env" in found:
        found["env"] = [_variable(one) for one in found["env"]] if isinstance(found["env"], list) else HIDDEN
    if "commandLine" in found:
        found["commandLine"] = HIDDEN
    return found


def _arguments(arguments: object) -> Any:
    """Keep the program. A process may write its whole line there as one text, so only the first word of it."""
    if not isinstance(arguments, list):
        return HIDDEN
    if not arguments:
        return []
    words = arguments[0].split(maxsplit=1) if isinstance(arguments[0], str) else []
    return [*(words[:1] or [HIDDEN]), *([HIDDEN] if words[1:] else []), *([HIDDEN] * (len(arguments) - 1))]


def _variable(text: object) -> str:
    name, equals, _ = text.partition("=") if isinstance(text, str) else ("", "", "")
    return f"{name}={HIDDEN}" if equals else HIDDEN


def _values(table: object) -> Any:
    return dict.fromkeys(table, HIDDEN) if isinstance(table, dict) else HIDDEN
