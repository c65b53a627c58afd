"""What a spec asks of the host's devices: nodes that are made in the container, and which ones its control group lets through.

A device is its type and its two numbers; the name that it has in the container means nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from bridge.policy.asks import Asks, shown

__all__ = ["judge_devices", "judge_rules"]

_KNOWN: Final = frozenset({"access", "allow", "major", "minor", "type"})
_NODE: Final = frozenset({"fileMode", "gid", "major", "minor", "path", "type", "uid"})

_EVERY: Final = "* *:*"

_HARMLESS: Final = frozenset({"c 1:3", "c 1:5", "c 1:7", "c 1:8", "c 1:9", "c 5:0", "c 5:1", "c 5:2", "c 136:*"})
"""null, zero, full, random, urandom, tty, console, ptmx, every pts: what containerd's own client gives every container."""


def judge_rules(asks: Asks, rules: object) -> None:
    """Note which devices a spec's control group lets through."""
    field, closed = "linux.resources.devices", False
    for each in asks.entries(rules, field):
        rule = asks.table(each, field)
        closed = closed or _closes(rule)
        asks.leave(rule, _KNOWN, field)
        if rule.get("allow") not in (None, False):
            _add(asks, rule)
    if not closed:
        asks.add("devices", "does not begin by closing off all devices (linux.resources.devices)", _EVERY)


def judge_devices(asks: Asks, devices: object) -> None:
    """Note the device nodes of a spec; those of a privileged container are covered by what its control group asks already."""
    covered = any(ask.kind == "devices" and ask.value == _EVERY for ask in asks.every())
    for each in asks.entries(devices, "linux.devices"):
        device = asks.table(each, "linux.devices")
        asks.leave(device, _NODE, "linux.devices")
        if device.get("type") != "p":  # a FIFO is no device
            _add(asks, device, covered=covered)


def _add(asks: Asks, device: Mapping[Any, Any], *, covered: bool = False) -> None:
    name = f"{_kind(device.get('type'))} {_number(device, 'major')}:{_number(device, 'minor')}"
    if name in _HARMLESS or (name.startswith("c 136:") and "?" not in name):
        return
    plain = "?" not in name
    if not (covered and plain):
        asks.add(
            "devices", f"uses the device {name}" if plain else f"uses a device {shown(device)}", name, grantable=plain
        )


def _closes(rule: Mapping[Any, Any]) -> bool:
    """Tell whether a rule of the control group shuts every device off."""
    every = all(rule.get(which) in (None, -1) for which in ("major", "minor"))
    access = rule.get("access")
    whole = access in (None, "") or (isinstance(access, str) and set(access) >= set("rwm"))
    return rule.get("allow") in (None, False) and rule.get("type") in (None, "", "a") and every and whole


def _kind(kind: object) -> str:
    if kind in (None, "", "a"):
        return "*"
    return {"b": "b", "c": "c", "u": "c"}.get(kind, "?") if isinstance(kind, str) else "?"


def _number(device: Mapping[Any, Any], which: str) -> str:
    value = device.get(which)
    if value is None or (type(value) is int and value == -1):
        return "*"
    return str(value) if type(value) is int and 0 <= value < 1 << 32 else "?"
