"""What a process asks: of a container's spec, or of an exec.

The measure is containerd's default process: its 14 capabilities, no new privileges, no profile of its own. For an exec it is also
the process of its container: in one that dockerd or the kubelet made, an exec is what every process there is. But to run in a
container that is mightier than the default one is to have its might, so that is asked for too, as what is there already.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from bridge.model.confinement import CAPABILITIES
from bridge.policy.asks import Ask, Asks, shown

__all__ = ["asks_of_process", "judge_process"]

_SETS: Final = frozenset({"bounding", "effective", "inheritable", "permitted", "ambient"})
_HARMLESS: Final = frozenset(
    {"args", "consoleSize", "cwd", "env", "rlimits", "terminal", "user"}
    | {"apparmorProfile", "capabilities", "noNewPrivileges", "oomScoreAdj", "selinuxLabel"}
)
_MIGHT: Final = frozenset({"capabilities", "unconfined"})
_OF_USER: Final = frozenset({"additionalGids", "gid", "uid", "umask", "username"})


def asks_of_process(process: Mapping[str, Any], *, own: Mapping[str, Any] | None = None) -> tuple[Ask, ...]:
    """Return what the process of an exec asks beyond what its container has. Total: whatever `process` is, there is an answer.

    Args:
        process: the OCI process.
        own: the process of the container that it is to run in. Of what that has, its capabilities and profile are asks, as
            `inherited` ones, and nothing else is. Where that is not root, root is an ask; so it is where nobody knows.
    """
    asks = Asks()
    judge_process(asks, process, "process", own if isinstance(own, Mapping) else None)
    if _uid(process) == 0 and (own is None or _uid(own) != 0):
        asks.add("root_user", "runs as root in a container whose own process does not")
    if not isinstance(own, Mapping):
        return asks.every()
    mighty = Asks()
    judge_process(mighty, own, "process")
    had = [structs.replace(ask, inherited=True) for ask in mighty.every() if ask.kind in _MIGHT]
    beyond = asks.every()
    new = {(ask.kind, ask.value) for ask in beyond}
    return beyond + tuple(ask for ask in had if (ask.kind, ask.value) not in new)


def judge_process(asks: Asks, process: object, field: str, own: Mapping[Any, Any] | None = None) -> None:
    """Note what a process asks, beyond what `own` has where that is given."""
    whole = asks.table(process, field)
    # As the container has it already: an exec begins as a copy of its container's process.
    table = (
        whole if own is None else {key: value for key, value in whole.items() if key not in own or own[key] != value}
    )
    asks.leave(table, _HARMLESS, field)
    user = asks.table(table.get("user"), f"{field}.user")
    asks.leave(user, _OF_USER, f"{field}.user")
    if own is None or whole.get("capabilities") != own.get("capabilities"):
        _judge_capabilities(asks, whole.get("capabilities"), f"{field}.capabilities", own)
    if whole.get("noNewPrivileges") is not True and (own is None or own.get("noNewPrivileges") is True):
        asks.add("new_privileges", "lets its processes gain privileges (noNewPrivileges is not true)")
    profile = asks.text(table.get("apparmorProfile"), f"{field}.apparmorProfile")
    if profile.strip().lower() == "unconfined":
        asks.add("unconfined", "runs without an AppArmor profile (unconfined)", "apparmor")
    if label := asks.text(table.get("selinuxLabel"), f"{field}.selinuxLabel"):
        asks.add("unconfined", f"chooses its SELinux label ({shown(label)})", "selinux")
    score = table.get("oomScoreAdj")
    if score is not None and not (type(score) is int and score >= 0):
        asks.add("oom_score", f"is spared when memory runs out (oomScoreAdj {shown(score)})")


def _judge_capabilities(asks: Asks, capabilities: object, field: str, own: Mapping[Any, Any] | None) -> None:
    if not isinstance(capabilities, Mapping):
        if capabilities is not None:
            asks.unknown(field)
        asks.add("capabilities", "does not say which capabilities it has", "ALL")
        return
    asks.leave(capabilities, _SETS, field)
    had = (own or {}).get("capabilities")
    for kind in sorted(_SETS):
        # Set by set: what the container may have one day is not what it has.
        there = had.get(kind) if isinstance(had, Mapping) else None
        free = (
            {*CAPABILITIES, *(name for name in there if isinstance(name, str))}
            if isinstance(there, list)
            else CAPABILITIES
        )
        for name in asks.texts(capabilities.get(kind), f"{field}.{kind}"):
            if name not in free:
                asks.add("capabilities", f"has the capability {shown(name)}", name)


def _uid(process: object) -> int:
    """Return the user's number; 0 where there is none, as for the runtime, and where it is no number."""
    user = process.get("user") if isinstance(process, Mapping) else None
    uid = user.get("uid") if isinstance(user, Mapping) else None
    return uid if type(uid) is int else 0
