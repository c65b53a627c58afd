"""Reading rules from their TOML file, strictly: what is not understood is refused with the rule, the value and what to do.

default = "deny"

[[rules]]
name = "operators of the shop"
effect = "allow"
namespaces = ["shop"]
groups = ["observe", "lifecycle"]

[[rules]]
name = "web may have its pages"
effect = "allow"
verbs = ["create", "run"]
images = ["nginx:1.*"]
[rules.spec]
host_mounts = [{ source = "/srv/www" }]
"""

from __future__ import annotations

import os
import re
import stat
import tomllib
from pathlib import Path
from typing import Any, Final

import msgspec

from bridge.errors import ConfigError
from bridge.model.commands import COMMANDS, GROUPS
from bridge.model.kinds import convert
from bridge.model.selection import Selection
from bridge.policy.asks import shown
from bridge.policy.book import DEFAULT, Rule, RuleBook
from bridge.policy.permissions import Permissions

__all__ = ["LARGEST", "read_policy"]

LARGEST: Final = 1 << 20
"""Bytes of a policy. It is read again while commands wait."""

MOST_RULES: Final = 1_000

_FORMS: Final = {
    "effect": "give allow or deny",
    "show": "give redacted or full",
    "groups": f"choose from {', '.join(GROUPS)}",
    "source": "give an absolute path of the host",
    "namespace_paths": "give absolute paths of the host",
    "log_files": "give absolute paths of the host",
    "log_programs": "give absolute paths of programs of the host",
    "hosts_dirs": "give absolute paths of the host",
    "checkpoint_paths": "give absolute paths of the host",
    "devices": "give a device by type and numbers, such as 'c 10:229' or 'b 8:*', or '*' for all",
    "capabilities": "give names in capitals such as CAP_NET_ADMIN, or ALL",
    "host_namespaces": "choose from net, pid, ipc, uts, mount",
    "host_mounts": 'give tables such as { source = "/srv/www", write = false }',
    "name": "give a line of up to 100 characters",
}
"""What a value has to be, where msgspec's own words do not say it well."""

_KEYS: Final = ("default", "rules", "spec", "show")
_AT: Final = re.compile(r" - at `(?P<path>.*)`$")
_STEP: Final = re.compile(r"\.([A-Za-z_]+)|\[([0-9]+)\]")


def read_policy(path: Path) -> RuleBook:
    """Return the rules of a file.

    Raises:
        ConfigError: it cannot be read, is no policy, or anybody may write to it.
    """
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            text = file.read(LARGEST + 1)
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        raise ConfigError(f"cannot read the policy {str(path)!r}: {why}") from error
    if stat.S_ISREG(mode) and mode & stat.S_IWOTH:
        raise ConfigError(f"{path}: everybody may write to this policy (mode {mode & 0o777:o}): chmod o-w {path}")
    if len(text) > LARGEST:
        raise ConfigError(f"{path}: a policy has {LARGEST} bytes at most: use patterns instead of so many rules")
    try:
        tree = tomllib.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    return _book(tree, path)


def _book(tree: dict[str, Any], path: Path) -> RuleBook:
    for key in tree:
        if key not in _KEYS:
            raise ConfigError(f"{path}: a policy has no {key!r}: give {', '.join(_KEYS)}")
    default = tree.get("default", "deny")
    if default not in ("allow", "deny"):
        raise ConfigError(f"{path}: default is {shown(default)}: give allow or deny")
    listed = tree.get("rules", [])
    if not isinstance(listed, list):
        raise ConfigError(f"{path}: rules is {shown(listed)}: write each rule below a line [[rules]]")
    if len(listed) > MOST_RULES:
        raise ConfigError(f"{path}: {len(listed)} rules are too many: {MOST_RULES} at most, use patterns")
    spec = _converted(tree.get("spec", {}), Permissions, f"{path}: spec")
    if "spec" in tree and default == "deny":
        raise ConfigError(f'{path}: spec goes with default = "allow": with deny there is nothing for it to allow')
    show = tree.get("show", "redacted")
    if show not in ("redacted", "full"):
        raise ConfigError(f"{path}: show is {shown(show)}: give redacted or full")
    if "show" in tree and default == "deny":
        raise ConfigError(f'{path}: show goes with default = "allow": with deny there is nothing for it to show')
    rules = tuple(_rule(each, number, path) for number, each in enumerate(listed, 1))
    book = RuleBook(rules=rules, default=default, spec=spec, show=show, source=str(path))
    twice = next((name for name in book.names if book.names.count(name) > 1), None)
    if twice is not None or DEFAULT in book.names:
        raise ConfigError(f"{path}: the name {twice or DEFAULT!r} does not tell one rule: give each a name of its own")
    return book


def _rule(raw: Any, number: int, path: Path) -> Rule:
    name = raw.get("name") if isinstance(raw, dict) else None
    where = f"{path}: rule {number}" + (f" ({shown(name)})" if isinstance(name, str) else "")
    rule: Rule = _converted(raw, Rule, where)
    if rule.effect == "deny" and rule.spec is not None:
        raise ConfigError(f"{where}: spec goes with allow; a deny refuses whatever is asked: leave spec out")
    if rule.effect == "deny" and rule.show == "full":
        raise ConfigError(f"{where}: show goes with allow; of what a deny refuses nothing is shown: leave show out")
    for verb in rule.verbs:
        if not any(char in verb for char in "*?[") and verb not in COMMANDS:
            raise ConfigError(f"{where}: there is no verb {verb!r}: choose from {', '.join(sorted(COMMANDS))}")
    try:
        Selection(label=rule.labels, image=rule.images)
    except ValueError as error:
        raise ConfigError(f"{where}: {error}") from error
    return rule


def _converted(raw: Any, kind: type[Any], where: str) -> Any:
    try:
        return convert(raw, kind)
    except msgspec.ValidationError as error:
        message = str(error)
        found = _AT.search(message)
        at = found["path"] if found else "$"
        said = message[: found.start()] if found else message
        field = at.removeprefix("$").lstrip(".")
        remedy = _remedy(said, kind, field)
        value = _value(raw, at)
        if "unknown field" in said or "missing required" in said:
            raise ConfigError(f"{where}: {said}{f' in {field}' if field else ''}: {remedy}") from error
        raise ConfigError(f"{where}: {field or 'it'} is {value}: {remedy}") from error


def _value(raw: Any, at: str) -> str:
    """Return the value that an error is about, as text."""
    for key, index in _STEP.findall(at.removeprefix("$")):
        try:
            raw = raw[key] if key else raw[int(index)]
        except (KeyError, IndexError, TypeError):
            return "not there"
    return shown(raw)


def _remedy(said: str, kind: type[Any], field: str) -> str:
    if "unknown field" in said:
        there = Permissions if field == "spec" or kind is Permissions else Rule
        known = ("source", "write") if "host_mounts" in field else there.__struct_fields__
        return f"there are {', '.join(known)}"
    if "missing required" in said:
        return "add it"
    words = _STEP.findall(f".{field}")
    named = [key for key, _ in words if key in _FORMS]
    return _FORMS[named[-1]] if named else f"{said[:1].lower()}{said[1:]}"
