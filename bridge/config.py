"""All settings of the daemon and of the command line: one frozen struct, read once at the edge.

A setting comes from the command line, else from the environment (`CONTAINERD_BRIDGE_*`), else from the TOML file, else
from its default here. Keys that do not exist are refused by name, so that a typo never becomes a silent default; a variable
that is empty counts as not given. Values of `nats` are secrets or may hold some: no sentence here repeats them.
"""

from __future__ import annotations

import os
import re
import socket
import tomllib
from collections.abc import Callable, Mapping
from math import inf
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from msgspec import Struct, structs

from bridge import values
from bridge.errors import ConfigError
from bridge.model.commands import Group, groups_from
from bridge.model.identity import check_identifier, check_node
from bridge.model.subjects import Subjects
from bridge.values import Size

__all__ = ["Config", "ENVIRONMENT", "NatsConfig", "Size", "load", "option"]

ENVIRONMENT = "CONTAINERD_BRIDGE_"
"""Prefix of the environment variables: `CONTAINERD_BRIDGE_STATE_DIR`, `CONTAINERD_BRIDGE_NATS_CREDS`, ..."""

_SERVICE_LINK: Final = re.compile(
    r"SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT_[0-9]+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?", re.ASCII
)
"""What Kubernetes gives every pod beside a Service `containerd-bridge`: the variables of Docker's links (Kubernetes
documentation, Concepts, Service, Environment variables). `PORT` is one too, but is looked at more closely."""

MIB: Final = 1 << 20

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
    inbox: str = "_INBOX"
    """What the subjects begin with on which answers come. Give each login one of its own and permit it no other, else everybody
    may listen to everybody's answers."""
    api_prefix: str = "$JS.API"
    """What the subjects of JetStream's own API begin with: another one where it is imported from another account."""
    domain: str = ""
    """JetStream domain that has the streams, where it is another one than that of the server we log in to: behind a leaf node."""
    replicas: int = 1
    """Replicas of the streams that the bridge creates."""

    @property
    def embedded(self) -> bool:
        """Whether the bridge starts its own nats-server."""
        if self.domain and self.url == EMBEDDED:
            raise ValueError(
                "the embedded nats-server has no domain: leave nats.domain out, or name a server in nats.url"
            )
        return self.url == EMBEDDED


class Config(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that `serve` can be told."""

    containerd: Path = Path("/run/containerd/containerd.sock")
    """containerd's gRPC socket."""
    namespace: list[str] = []
    """Namespaces to follow and to command; empty for all of them."""
    docker: str | None = None
    """`unix:///var/run/docker.sock` for names, labels and health of dockerd's containers; it is only read from."""
    nats: NatsConfig = NatsConfig()
    node: str = ""
    """This node's name on the bus; empty for the host's name."""
    state_dir: Path = Path("/var/lib/containerd-bridge")
    """Where the outbox and the embedded server keep their files."""
    fifo_dir: Path = Path("/run/containerd-bridge/fifo")
    """Where FIFOs for stdio are made; containerd's shims must see the same path."""
    checkpoint_dir: Path = Path("/var/lib/containerd-bridge/checkpoints")
    """Where dumps lie while a command works with them; CRIU and containerd's shims must see the same path. As large as the memory
    of what is dumped, and nothing is left in it."""
    bundle_root: Path | None = None
    """The only directory in which `delete` removes bundles that dockerd made, `/run/docker/containerd`; none unless given."""
    commands: str = "none"
    """Command groups that are switched on: `observe`, `lifecycle`, `exec`, `create`, `checkpoint`, separated by commas, or `all`,
    or `none`."""
    foreign: bool = False
    """Whether commands may change containers of `moby` and `k8s.io`, which belong to dockerd and to the kubelet."""
    policy: Path | None = None
    """File with the rules for commands (docs/security.md); without one the switches alone decide, and no spec may ask the host
    for anything. Read again when it changes, and on SIGHUP."""
    request_info: bool = False
    """Whether to believe nats-server's `Nats-Request-Info` header about who asks: only where every command comes through a
    service import with `share`, else whoever may publish a command may claim to be anybody."""
    record: str = "redacted"
    """What the events of commands tell of their options: `redacted`, or `full` with environment, arguments and secrets."""
    record_observing: bool = False
    """Whether commands that only look leave events too."""
    show: str = "redacted"
    """What `inspect` and `pids` tell of arguments, environment and annotations: `redacted`, or `full` to everybody who may look.
    A rule of the policy may say it for some."""
    traces: bool = False
    """Whether spans of commands are sent to an OpenTelemetry collector (docs/tracing.md); needs the extra `otel`."""
    http: str | None = None
    """`HOST:PORT` for health, metrics and the page; not served unless given."""
    page: bool = False
    """Whether the page is served there too: every container in a browser, with the login of the bridge (docs/page.md)."""
    page_token: str | None = None
    """What the page asks of whoever opens it. One is made at the start, and logged, unless it or a file is given."""
    page_token_file: Path | None = None
    """File with that token."""
    page_host: list[str] = []
    """Host names under which the page is reached, besides `localhost` and IP addresses."""
    root: str = "containerd"  # the first token of every subject
    lease: int = 10
    """Seconds for which a bridge that says nothing keeps its node: a stall costs nothing, a crash elsewhere no long wait."""
    take_over: bool = False
    """Whether to take the node over from the bridge that works in the same state directory, without an event in between."""
    log_level: str = "info"
    """From which level on the daemon logs: `debug`, `info`, `warning` or `error`."""
    log_format: str = "auto"
    """`text`, `json`, `journal` (with the level in front of each line, as journald reads it), or `auto`: text on a terminal and
    JSON elsewhere."""
    events_max_age_s: int = 7 * 86_400
    """Seconds for which the stream of events keeps an event, where the bridge makes the stream; 0 for ever."""
    events_max_bytes: Size = Size(0)
    """Size of that stream, beyond which its oldest events go; 0 for no limit."""
    stdio_max_age_s: int = 86_400
    """Seconds for which the stream of output keeps what processes wrote, where the bridge makes the stream; 0 for ever."""
    stdio_max_bytes: Size = Size(1 << 30)
    """Size of that stream, beyond which the oldest output goes; 0 for no limit."""
    checkpoints_max_bytes: Size = Size(0)
    """Size of the object store of checkpoints, where the bridge makes it; a full one takes no more. 0 for no limit."""
    checkpoints_quota: Size = Size(16 << 30)
    """Most bytes of archives that this node has in the catalogue of checkpoints; 0 for no limit."""
    checkpoints_max_age_s: int = 0
    """Seconds after which a checkpoint of this node's is removed, unless whoever made it said otherwise; 0 for never."""
    checkpoints_keep: int = 0
    """Checkpoints of one container that are kept; with one more the oldest goes. 0 for all of them."""
    checkpoint_key: Path | None = None
    """File with the keys of checkpoints, a line each, readable by nobody else (`checkpoint keygen` makes it): archives are
    encrypted with the first, and read with any. Without one they are stored as they are."""
    outbox_max_bytes: Size = Size(1 << 30)
    """Most bytes of events that wait for the log; at the limit the bridge disconnects from containerd and marks a gap."""
    outbox_reserve_bytes: Size = Size(128 << 20)
    """Free space that the outbox leaves on its disk; below it the bridge disconnects too."""
    outbox_retention_s: int = 600
    """Seconds for which an event is kept after the log has acknowledged it, for a log that goes backwards."""
    audit_s: int = 300
    """Seconds between two comparisons of the log with containerd's lists, and of the states that are kept with what is known."""

    @property
    def groups(self) -> frozenset[Group]:
        """The command groups that are switched on."""
        return groups_from(self.commands)

    @property
    def record_detail(self) -> Literal["redacted", "full"]:
        """How much the events of commands tell."""
        return values.detail("record", self.record)

    @property
    def shown(self) -> Literal["redacted", "full"]:
        """How much whoever looks is told."""
        return values.detail("show", self.show)

    @property
    def subjects(self) -> Subjects:
        """The subjects under this configuration's root."""
        return Subjects(self.root)

    @property
    def http_address(self) -> tuple[str, int] | None:
        """Host and port of the HTTP endpoint."""
        if self.page and self.http is None:
            raise ValueError("page is on and http is not given: say where it is served, such as 127.0.0.1:9465")
        return None if self.http is None else values.address(self.http)

    @property
    def docker_socket(self) -> Path | None:
        """The socket of dockerd's API."""
        return None if self.docker is None else values.socket(self.docker)


def load(options: Mapping[str, Any], *, file: Path | None = None, environ: Mapping[str, str] | None = None) -> Config:
    """Return the configuration.

    Args:
        options: what the command line gave, by field name; those of `NatsConfig` as `nats.url` and so on; None is "not given".
        file: the TOML file; else the one that `CONTAINERD_BRIDGE_CONFIG` names; else none.
        environ: the environment; the process's own unless given.

    Raises:
        ConfigError: something is wrong; the sentence names the setting, where it came from, and the value.
    """
    environ = os.environ if environ is None else environ
    named = environ.get(f"{ENVIRONMENT}CONFIG", "").strip()
    path = file if file is not None else Path(named) if named else None
    given = {} if path is None else _from_file(path)
    given |= _from_environment(environ)
    given |= {field: _Given(value, option(field)) for field, value in options.items() if value is not None}
    node = given.get("node")
    if node is None or node.value == "":
        given["node"] = _Given(_host_name(), "the host's name")
    values = {field: _read(field, each) for field, each in given.items()}
    top = {field: value for field, value in values.items() if "." not in field}
    nats = {field.removeprefix("nats."): value for field, value in values.items() if "." in field}
    config = Config(**top, nats=NatsConfig(**nats))
    _check(config, {field: each.where for field, each in given.items()})
    return config


class _Given(NamedTuple):
    """A value as it stands somewhere, and where: the file, the variable, the option."""

    value: Any
    where: str


def _from_file(path: Path) -> dict[str, _Given]:
    if "\0" in str(path):
        raise ConfigError(f"cannot read the configuration {str(path)!r}: a path cannot hold a NUL")
    try:
        with path.open("rb") as file:
            tree = tomllib.load(file)
    except OSError as error:
        raise ConfigError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also for bytes that are no text, and for what is beyond all measure
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    nats = tree.pop("nats", {})
    nats = {"url": nats} if isinstance(nats, str) else nats  # `nats = "url"`, the short form
    if not isinstance(nats, dict):
        raise ConfigError(f"{path}: nats is {values.kind(nats)}: give a URL, or a table [nats]")
    found = tree | {f"nats.{name}": value for name, value in nats.items()}
    unknown = [repr(field) for field in found if field not in _FIELDS]
    if unknown:
        raise ConfigError(f"{path}: there is no setting {' or '.join(unknown)}; there are {', '.join(sorted(_FIELDS))}")
    return {field: _Given(value, str(path)) for field, value in found.items()}


def _from_environment(environ: Mapping[str, str]) -> dict[str, _Given]:
    found: dict[str, _Given] = {}
    unknown: list[str] = []
    for variable, value in environ.items():
        name = variable.removeprefix(ENVIRONMENT)
        if name in (variable, "CONFIG") or _is_service_link(name, value):
            continue
        field = _VARIABLES.get(name)
        if field is None:
            unknown.append(variable)
        elif value.strip():
            before = found.get(field)
            if before is not None and before.value != value:
                raise ConfigError(f"{ENVIRONMENT}NATS and {ENVIRONMENT}NATS_URL differ: unset one of them")
            names = [part.strip() for part in value.split(",") if part.strip()]
            found[field] = _Given(names if field in _LISTS else value, variable)
    if unknown:
        raise ConfigError(f"the environment sets what is no setting: correct or unset {', '.join(unknown)}")
    return found


def _is_service_link(name: str, value: str) -> bool:
    if name == "PORT":  # may as well be somebody's idea of a setting
        return re.match(r"(tcp|udp|sctp)://", value) is not None
    return _SERVICE_LINK.fullmatch(name) is not None


def option(field: str) -> str:
    """Return the option of the command line for a setting."""
    return "--" + ("nats" if field == "nats.url" else field.replace(".", "-").replace("_", "-"))


def _host_name() -> str:
    name = socket.gethostname()
    try:
        return check_node(name)
    except ValueError as error:
        raise ConfigError(
            f"the host's name cannot be the node's, so give one with --node or {ENVIRONMENT}NODE: {error}"
        ) from error


# -- what a value has to be, and what values have to be together


def _read(field: str, given: _Given) -> Any:
    try:
        return _FIELDS[field](given.value)
    except ValueError as error:
        value = values.kind(given.value) if field.startswith("nats.") else values.shown(given.value)
        raise ConfigError(f"{given.where}: {field} is {value}: {error}") from error


_READERS: Final[dict[Any, Callable[[Any], Any]]] = {
    str: values.text,
    str | None: values.text,
    Path: values.path,
    Path | None: values.path,
    bool: values.switch,
    int: values.number,
    Size: values.size,
    list[str]: values.names,
}
_FIELDS: Final = {
    f"{prefix}{field.name}": _READERS[field.type]
    for prefix, struct in (("", Config), ("nats.", NatsConfig))
    for field in structs.fields(struct)
    if field.type is not NatsConfig
}
"""Every setting by name, with what reads its value."""

_LISTS: Final = {field.name for field in structs.fields(Config) if field.type == list[str]}
"""Settings that are several values, separated by commas in a variable."""

_VARIABLES: Final = {name.replace(".", "_").upper(): name for name in _FIELDS} | {"NATS": "nats.url"}
"""Every setting by the name of its environment variable, without the prefix."""


def _check(config: Config, where: Mapping[str, str]) -> None:
    def refusal(sentence: object, *fields: str) -> ConfigError:
        places = dict.fromkeys(where[field] for field in fields if field in where)
        return ConfigError(f"{' and '.join(places)}: {sentence}")

    tests: list[tuple[str, Callable[[], object]]] = [
        ("namespace", lambda: [check_identifier(name, "namespace") for name in config.namespace]),
        ("node", lambda: check_node(config.node)),
        ("commands", lambda: config.groups),
        ("root", lambda: config.subjects),
        ("nats.domain", lambda: values.domain(config.nats.domain, embedded=config.nats.embedded)),
        ("page" if config.http is None else "http", lambda: config.http_address),
        ("docker", lambda: config.docker_socket),
        ("log_level", lambda: values.log_level(config.log_level)),
        ("log_format", lambda: values.log_format(config.log_format)),
        ("record", lambda: config.record_detail),
        ("show", lambda: config.shown),
    ]
    for field, test in tests:
        try:
            test()
        except ValueError as error:
            raise refusal(error, field) from error
    nats = config.nats
    if not nats.url.strip():
        raise refusal("nats.url is empty: give a URL such as nats://127.0.0.1:4222, or `embedded`", "nats.url")
    if not re.fullmatch(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*", nats.inbox, re.ASCII):
        raise refusal("nats.inbox is no prefix of subjects: give tokens of letters, digits, _ and -", "nats.inbox")
    if not re.fullmatch(r"[$A-Za-z0-9_-]+(\.[$A-Za-z0-9_-]+)*", nats.api_prefix, re.ASCII):
        raise refusal(
            f"nats.api_prefix {values.shown(nats.api_prefix)} is no prefix of subjects: give one such as JS.containerd",
            "nats.api_prefix",
        )
    ways = [name for name in ("user", "token", "nkey", "creds") if getattr(nats, name) is not None]
    if len(ways) > 1:
        raise refusal(f"nats has {' and '.join(ways)}: give one way to log in", *(f"nats.{name}" for name in ways))
    for one, other in (("user", "password"), ("tls_cert", "tls_key")):
        if (getattr(nats, one) is None) != (getattr(nats, other) is None):
            sentence = f"nats.{one} and nats.{other} go together: give both"
            raise refusal(sentence, f"nats.{one}", f"nats.{other}")
    for field, least, most, limits in _RANGES:
        value = nats.replicas if field == "nats.replicas" else getattr(config, field)
        if not (least <= value <= most or (value == 0 and "or 0 for" in limits)):
            raise refusal(f"{field} is {value}, out of range: give {limits}", field)


_RANGES: Final = (
    ("lease", 2, 600, "from 2 to 600 seconds"),
    ("events_max_age_s", 3_600, 3_153_600_000, "3600 or more, or 0 for ever"),
    ("events_max_bytes", 64 * MIB, inf, "64MiB or more, or 0 for no limit"),
    ("stdio_max_age_s", 60, 3_153_600_000, "60 or more, or 0 for ever"),
    ("stdio_max_bytes", 64 * MIB, inf, "64MiB or more, or 0 for no limit"),
    ("checkpoints_max_bytes", 64 * MIB, inf, "64MiB or more, or 0 for no limit"),
    ("checkpoints_quota", MIB, inf, "1MiB or more, or 0 for no limit"),
    ("checkpoints_max_age_s", 60, 3_153_600_000, "60 or more, or 0 for ever"),
    ("checkpoints_keep", 1, 1_000_000, "a number from 1 to 1000000, or 0 for all"),
    ("outbox_max_bytes", MIB, inf, "1MiB or more"),
    ("outbox_reserve_bytes", 0, inf, "0 or more"),
    ("outbox_retention_s", 0, inf, "0 or more"),
    ("audit_s", 1, 86_400, "from 1 to 86400 seconds"),
    ("nats.replicas", 1, 5, "a number from 1 to 5"),
)
"""Numbers: the least and the most that they may be, and how that is said."""
