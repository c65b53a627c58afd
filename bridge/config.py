"""All settings of the daemon and of the command line: one frozen struct, read once at the edge.

A setting comes from the command line, else from the environment (`CONTAINERD_BRIDGE_*`), else from the TOML file, else
from its default here. Keys that do not exist are refused by name, so that a typo never becomes a silent default.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from bridge.errors import ConfigError
from bridge.model.commands import Group, groups_from
from bridge.model.identity import check_identifier, check_node
from bridge.model.subjects import Subjects

__all__ = ["Config", "ENVIRONMENT", "NatsConfig", "load"]

ENVIRONMENT = "CONTAINERD_BRIDGE_"
"""Prefix of the environment variables: `CONTAINERD_BRIDGE_STATE_DIR`, `CONTAINERD_BRIDGE_NATS_CREDS`, ..."""

EMBEDDED = "embedded"
"""In place of a NATS URL: the nats-server that the bridge starts itself."""


class NatsConfig(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How to reach NATS. At most one of user+password, token, nkey and creds; TLS goes with each of them."""

    url: str = "nats://127.0.0.1:4222"
    """One URL or several separated by commas; `tls://` demands TLS; `embedded` starts a server of our own."""
    user: str | None = None
    password: str | None = None
    token: str | None = None
    nkey: Path | None = None
    """File with an nkey seed."""
    creds: Path | None = None
    """File with a user JWT and its seed, as `nsc` writes it."""
    tls_ca: Path | None = None
    tls_cert: Path | None = None
    tls_key: Path | None = None
    tls_first: bool = False
    """Shake hands before the server says anything (`handshake_first` in nats-server)."""
    replicas: int = 1
    """Replicas of the streams that the bridge creates."""

    @property
    def embedded(self) -> bool:
        """Whether the bridge starts its own nats-server."""
        return self.url == EMBEDDED


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that `serve` can be told."""

    containerd: Path = Path("/run/containerd/containerd.sock")
    """containerd's gRPC socket."""
    namespace: list[str] = []
    """Namespaces to follow and to command; empty for all of them."""
    nats: NatsConfig = NatsConfig()
    node: str = ""
    """This node's name on the bus; empty for the host's name."""
    state_dir: Path = Path("/var/lib/containerd-bridge")
    """Where the outbox and the embedded server keep their files."""
    fifo_dir: Path = Path("/run/containerd-bridge/fifo")
    """Where FIFOs for stdio are made; containerd's shims must see the same path."""
    commands: str = "none"
    """Command groups that are switched on: `observe`, `lifecycle`, `all`, `none`, several separated by commas."""
    foreign: bool = False
    """Whether commands may change containers of `moby` and `k8s.io`, which belong to dockerd and to the kubelet."""
    http: str | None = None
    """`HOST:PORT` for health and metrics; not served unless given."""
    root: str = "containerd"
    """First token of every subject."""
    log_level: str = "info"

    @property
    def groups(self) -> frozenset[Group]:
        """The command groups that are switched on."""
        return groups_from(self.commands)

    @property
    def subjects(self) -> Subjects:
        """The subjects under this configuration's root."""
        return Subjects(self.root)

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port of the HTTP endpoint."""
        return None if self.http is None else _address(self.http)


def load(
    options: Mapping[str, Any],
    *,
    file: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> Config:
    """Return the configuration.

    Args:
        options: what the command line gave, by field name; those of `NatsConfig` as `nats.url` and so on; None is "not given".
        file: the TOML file; else the one that `CONTAINERD_BRIDGE_CONFIG` names; else none.
        environ: the environment; the process's own unless given.

    Raises:
        ConfigError: something is wrong; the sentence names the setting, where it came from, and the value.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(f"{ENVIRONMENT}CONFIG")
    path = file if file is not None else Path(named) if named else None
    merged: dict[str, Any] = {} if path is None else _read_toml(path)
    if isinstance(merged.get("nats"), str):  # `nats = "url"`, the short form
        merged["nats"] = {"url": merged["nats"]}
    where = {} if path is None else dict.fromkeys(_flatten(merged), str(path))
    for field, value in _environment(environ).items():
        _set(merged, field, value)
        where[field] = ENVIRONMENT + field.replace(".", "_").upper()
    for field, value in options.items():
        if value is not None:
            _set(merged, field, value)
            where[field] = "--" + ("nats" if field == "nats.url" else field.replace(".", "-").replace("_", "-"))
    if not merged.get("node"):
        merged["node"] = socket.gethostname()
    try:
        config = msgspec.convert(merged, Config, strict=False, dec_hook=_dec_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(_sentence(str(error), where)) from error
    return _checked(config, where)


def _dec_hook(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str | Path) and str(value):
        return Path(value)
    raise ValueError(f"{value!r} is no {kind.__name__.lower()}")


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error


def _fields() -> dict[str, str]:
    """Every setting by the name of its environment variable without the prefix."""
    top = [field.name for field in msgspec.structs.fields(Config) if field.name != "nats"]
    nats = [f"nats.{field.name}" for field in msgspec.structs.fields(NatsConfig)]
    return {name.replace(".", "_").upper(): name for name in [*top, *nats]} | {"NATS": "nats.url"}


def _environment(environ: Mapping[str, str]) -> dict[str, Any]:
    fields = _fields()
    found: dict[str, Any] = {}
    for variable, value in environ.items():
        if not variable.startswith(ENVIRONMENT) or variable == f"{ENVIRONMENT}CONFIG":
            continue
        field = fields.get(variable.removeprefix(ENVIRONMENT))
        if field is None:
            raise ConfigError(
                f"the environment variable {variable} is no setting of containerd-bridge: correct or unset it"
            )
        found[field] = [part.strip() for part in value.split(",") if part.strip()] if field == "namespace" else value
    return found


def _set(merged: dict[str, Any], field: str, value: Any) -> None:
    outer, dot, inner = field.partition(".")
    if dot:
        section = merged.setdefault(outer, {})
        if not isinstance(section, dict):
            raise ConfigError(f"{outer} is {section!r}: it has to be a table, or the URL alone")
        section[inner] = value
    else:
        merged[field] = value


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> list[str]:
    names: list[str] = []
    for name, value in tree.items():
        names.append(prefix + name)
        if isinstance(value, dict):
            names += _flatten(value, f"{prefix}{name}.")
    return names


def _sentence(message: str, where: Mapping[str, str]) -> str:
    """Turn msgspec's message with its `$.path` into one that says where the value stands."""
    match = re.search(r" - at `\$\.?(.*?)`$", message)
    field = match.group(1) if match else ""
    text = message[: match.start()] if match else message
    unknown = re.search(r"unknown field `(.*?)`", text)
    if unknown:
        field = f"{field}.{unknown.group(1)}" if field else unknown.group(1)
        known = sorted(set(_fields().values()))
        return f"{where.get(field, 'the configuration')}: there is no setting {field!r}; there are {', '.join(known)}"
    plain = re.sub(r"\[.*?\]$", "", field)
    return f"{where.get(plain, 'the configuration')}: {field}: {text[:1].lower()}{text[1:]}"


def _checked(config: Config, where: Mapping[str, str]) -> Config:
    def check(field: str, test: Any) -> None:
        try:
            test()
        except ValueError as error:
            raise ConfigError(f"{where.get(field, field)}: {error}") from error

    for namespace in config.namespace:
        check("namespace", lambda name=namespace: check_identifier(name, "namespace"))
    check("node", lambda: check_node(config.node))
    check("commands", lambda: config.groups)
    check("root", lambda: config.subjects)
    check("http", lambda: config.http_address)
    check("log_level", lambda: _log_level(config.log_level))
    check("nats", lambda: _one_way_in(config.nats))
    return config


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (colon and port.isascii() and port.isdigit() and int(port) <= 65535):
        raise ValueError(f"{text!r} is no address: give HOST:PORT, such as 127.0.0.1:9464")
    return host or "127.0.0.1", int(port)


def _log_level(text: str) -> None:
    if text.lower() not in {"debug", "info", "warning", "error"}:
        raise ValueError(f"log level {text!r} does not exist: choose from debug, info, warning, error")


def _one_way_in(nats: NatsConfig) -> None:
    ways = [name for name in ("user", "token", "nkey", "creds") if getattr(nats, name) is not None]
    if len(ways) > 1:
        raise ValueError(f"nats has {' and '.join(ways)}: give one way to log in")
    if (nats.user is None) != (nats.password is None):
        raise ValueError("nats.user and nats.password go together: give both")
    if (nats.tls_cert is None) != (nats.tls_key is None):
        raise ValueError("nats.tls_cert and nats.tls_key go together: give both")
    if not 1 <= nats.replicas <= 5:
        raise ValueError(f"nats.replicas is {nats.replicas}: give a number from 1 to 5")
