"""What a process asks: of a container's spec, or of an exec.

The measure is containerd's default process: its 14 capabilities, no new privileges, no profile of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.model.confinement import CAPABILITIES
from bridge.policy.asks import Ask, Asks, shown

__all__ = ["asks_of_process", "judge_process"]

_SETS: Final = frozenset({"bounding", "effective", "inheritable", "permitted", "ambient"})
_HARMLESS: Final = frozenset(
    {"args", "consoleSize", "cwd", "env", "rlimits", "terminal", "user"}
    | {"apparmorProfile", "capabilities", "noNewPrivileges", "oomScoreAdj", "selinuxLabel"}
)
_OF_USER: Final = frozenset({"additionalGids", "gid", "uid", "umask", "username"})


def asks_of_process(process: Mapping[str, Any], *, own: Mapping[str, Any] | None = None) -> tuple[Ask, ...]:
    """Return what the process of an exec asks. Total: whatever `process` is, there is an answer.

    Args:
        process: the OCI process.
        own: the process of the container that it is to run in. Where that is not root, root is an ask; so it is where nobody
            knows.
    """
    asks = Asks()
    judge_process(asks, process, "process")
    if _uid(process) == 0 and (own is None or _uid(own) != 0):
        asks.add("root_user", "runs as root in a container whose own process does not")
    return asks.every()


def judge_process(asks: Asks, process: object, field: str) -> None:
    """Note what a process asks."""
    table = asks.table(process, field)
    asks.leave(table, _HARMLESS, field)
    user = asks.table(table.get("user"), f"{field}.user")
    asks.leave(user, _OF_USER, f"{field}.user")
    _judge_capabilities(asks, table.get("capabilities"), f"{field}.capabilities")
    if table.get("noNewPrivileges") is not True:
        asks.add("new_privileges", "lets its processes gain privileges (noNewPrivileges is not true)")
    profile = asks.text(table.get("apparmorProfile"), f"{field}.apparmorProfile")
    if profile.strip().lower() == "unconfined":
        asks.add("unconfined", "runs without an AppArmor profile (unconfined)", "apparmor")
    if label := asks.text(table.get("selinuxLabel"), f"{field}.selinuxLabel"):
        asks.add("unconfined", f"chooses its SELinux label ({shown(label)})", "selinux")
    score = table.get("oomScoreAdj")
    if score is not None and not (type(score) is int and score >= 0):
        asks.add("oom_score", f"is spared when memory runs out (oomScoreAdj {shown(score)})")


def _judge_capabilities(asks: Asks, capabilities: object, field: str) -> None:
    if not isinstance(capabilities, Mapping):
        if capabilities is not None:
            asks.unknown(field)
        asks.add("capabilities", "does not say which capabilities it has", "ALL")
        return
    asks.leave(capabilities, _SETS, field)
    for kind in sorted(_SETS):
        for name in asks.texts(capabilities.get(kind), f"{field}.{kind}"):
            if name not in CAPABILITIES:
                asks.add("capabilities", f"has the capability {shown(name)}", name)


def _uid(process: object) -> int:
    """Return the user's number; 0 where there is none, as for the runtime, and where it is no number."""
    user = process.get("user") if isinstance(process, Mapping) else None
    uid = user.get("uid") if isinstance(user, Mapping) else None
    return uid if type(uid) is int else 0
