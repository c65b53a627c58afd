"""What is in order of the register of migrations, and what stands still because a node stays away or somebody is in the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from bridge.client.finding import Finding, span
from bridge.model.migrations import DECIDED, Migration
from bridge.ports.inspection import MigrationFacts, RegisterFacts

__all__ = ["of_migrations"]

LONG_S: Final = 120.0
"""For how long an entry may wait for one end: an offer is taken back after a minute, and a restore takes seconds."""

_SAYS: Final = {
    "offered": "stands still on node {source}, and node {target} has not taken it",
    "taken": "stands still on node {source}; node {target} has taken it, and does not say what came of it",
    "running": "runs on node {target}, and what is left of it on node {source} was not removed",
}
_WAY_OUT: Final = {
    "offered": "start the bridge of {source}, which takes it back; or `migrate {container} --abandon`",
    "taken": "start the bridge of {target}; where that never comes back: `migrate {container} --abandon --force`",
    "running": "start the bridge of {source}",
}


def of_migrations(register: RegisterFacts | None) -> Iterator[Finding]:
    """Iterate over what there is to say."""
    if register is None or register.absent:
        return
    if register.unknown:
        said = f"{register.name} cannot be looked at: {register.unknown}"
        yield Finding(level="ok", area="migrations", message=said)
        return
    for fault in register.faults:
        yield Finding(
            level="fail",
            area="migrations",
            message=f"{register.name}: {fault}",
            remedy=f"no bridge starts with it: change it (nats stream edit {register.name})",
            trouble="register-weak",
        )
    waiting = 0
    for one in register.found:
        yield from _of_foreign(register.name, one)
        if one.entry is not None and one.entry.state not in DECIDED:
            waiting += 1
            if one.age_s > LONG_S and one.entry.state in _SAYS:
                yield _of_waiting(one.entry, one.age_s)
    if not register.faults:
        said = f"{register.name} has {waiting} migrations under way"
        yield Finding(level="ok", area="migrations", message=said)


def _of_foreign(name: str, one: MigrationFacts) -> Iterator[Finding]:
    if one.foreign:
        yield Finding(
            level="warn",
            area="migrations",
            message=f"{name}: under {one.key} stand messages ({one.foreign}) that no bridge has written; they are passed over",
            remedy="see who may ask JetStream in this account: its answers go where whoever asks says (docs/security.md)",
            trouble="register-foreign",
        )


def _of_waiting(entry: Migration, age_s: float) -> Finding:
    names = {"source": entry.source, "target": entry.target, "container": entry.container}
    what = f"container {entry.container} of namespace {entry.namespace}"
    return Finding(
        level="warn",
        area="migrations",
        message=f"{what} {_SAYS[entry.state].format(**names)}, for {span(int(age_s * 1e9))} (migration {entry.id})",
        remedy=_WAY_OUT[entry.state].format(**names),
        trouble="migration-stuck",
    )
