"""The keys of sessions, which input and credits have to carry: in the reply to whoever asked, and nowhere else.

An outcome is written down, told in the bucket of commands, and read there by others. So verbs leave the key out of it, and it is
put in on the way to the one who waits for the reply: who may run, start or attach to a process may type into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct, structs

from bridge.model.outcomes import ExecResult, Outcome
from bridge.ports import ExpectedSession, StdioSession, StdioSessions

__all__ = ["with_key"]


def with_key(outcome: Outcome, sessions: StdioSessions | None) -> Outcome:
    """Return the outcome with the key of the process that it tells of, where that has its stdio on the bus here."""
    if sessions is None or outcome.result is None or outcome.namespace is None or outcome.container is None:
        return outcome
    target = outcome.namespace, outcome.container
    result = outcome.result
    inner = _get(result, "process")
    if _get(inner, "session") is not None:
        keyed = _replaced(result, "process", _keyed(inner, sessions, target))
    elif isinstance(result, ExecResult) or (_get(result, "session") is not None and _get(result, "stdout") is not None):
        keyed = _keyed(result, sessions, target)
    else:
        return outcome
    return structs.replace(outcome, result=keyed)


def _keyed(process: Any, sessions: StdioSessions, target: tuple[str, str]) -> Any:
    exec_id = _get(process, "exec_id")
    session: StdioSession | ExpectedSession | None = sessions.find(*target, exec_id)
    if exec_id is None and (session is None or session.id != _get(process, "session")):
        session = sessions.expected(*target)
    if session is None or session.id != _get(process, "session") or not session.secret:
        return process  # one that a bridge from before keys began needs none
    return _replaced(process, "key", session.secret)


# What the journal gives back is a table where it was a struct before.


def _get(what: Any, name: str) -> Any:
    return what.get(name) if isinstance(what, Mapping) else getattr(what, name, None)


def _replaced(what: Any, name: str, value: Any) -> Any:
    return structs.replace(what, **{name: value}) if isinstance(what, Struct) else {**what, name: value}
