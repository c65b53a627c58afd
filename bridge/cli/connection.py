"""How a client command reaches the bus: the options that every one of them has, and what they come to."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
import tomllib
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Annotated, Any, Concatenate, ParamSpec, Protocol, TypeAlias, get_type_hints

import typer
from msgspec import Struct

from bridge.cli.advice import advise
from bridge.cli.exits import PROGRAM, while_read
from bridge.cli.signatures import own_parameters, parameter, taken, with_parameters
from bridge.client import Bus
from bridge.client.connect import embedded_here
from bridge.config import ENVIRONMENT, Config, NatsConfig, load
from bridge.errors import BridgeError

__all__ = [
    "Connect",
    "ConnectionOptions",
    "NatsCreds",
    "NatsApiPrefix",
    "NatsInbox",
    "NatsNkey",
    "NatsPassword",
    "NatsTlsCa",
    "NatsTlsCert",
    "NatsTlsFirst",
    "NatsTlsKey",
    "NatsToken",
    "NatsUser",
    "Opening",
    "client_command",
    "opening_command",
    "settings_command",
    "with_connection_options",
]

P = ParamSpec("P")

Opening: TypeAlias = AbstractAsyncContextManager[Bus]
"""A bus that is still to be opened: a context that closes it."""


class Connect(Protocol):
    """Opens a bus: `bridge.client.connect`, or one in memory."""

    def __call__(
        self, nats: NatsConfig, *, root: str, state_dir: Path, checkpoint_key: Path | None
    ) -> AbstractAsyncContextManager[Bus]:
        """Return the bus as a context that closes it."""
        ...


def _option(metavar: str, help: str) -> Any:  # noqa: A002 - typer's word
    # Whether a file can be read is seen, and told of, where it is.
    return typer.Option(metavar=metavar, help=help, rich_help_panel="Connection", show_default=False, readable=False)


NatsUser: TypeAlias = Annotated[str | None, _option("NAME", "User, together with --nats-password.")]
NatsPassword: TypeAlias = Annotated[
    str | None, _option("PASSWORD", f"Others see it here; better ${ENVIRONMENT}NATS_PASSWORD.")
]
NatsToken: TypeAlias = Annotated[str | None, _option("TOKEN", f"Likewise; better ${ENVIRONMENT}NATS_TOKEN.")]
NatsNkey: TypeAlias = Annotated[Path | None, _option("FILE", "File with an nkey seed.")]
NatsCreds: TypeAlias = Annotated[Path | None, _option("FILE", "File with a user JWT and its seed.")]
NatsTlsCa: TypeAlias = Annotated[Path | None, _option("FILE", "CA certificates that the server's must be from.")]
NatsTlsCert: TypeAlias = Annotated[Path | None, _option("FILE", "Client certificate, with --nats-tls-key.")]
NatsTlsKey: TypeAlias = Annotated[Path | None, _option("FILE", "Key of the client certificate.")]
NatsTlsFirst: TypeAlias = Annotated[
    bool | None,
    typer.Option(
        "--nats-tls-first",
        help="TLS before the server's first word (its handshake_first).",
        rich_help_panel="Connection",
        show_default=False,
    ),
]


NatsInbox: TypeAlias = Annotated[str | None, _option("PREFIX", "Where answers come (_INBOX).")]
NatsApiPrefix: TypeAlias = Annotated[
    str | None, _option("PREFIX", "Where JetStream of another account is asked ($JS.API).")
]
NatsDomain: TypeAlias = Annotated[
    str | None, _option("NAME", "JetStream domain that has the streams, behind a leaf node.")
]


class ConnectionOptions(Struct, frozen=True, kw_only=True):
    """What the command line says about the connection; None is "not given"."""

    nats: Annotated[
        str | None, _option("URL|embedded", "NATS to use; `embedded` for the server of a bridge on this machine.")
    ] = None
    nats_user: NatsUser = None
    nats_password: NatsPassword = None
    nats_token: NatsToken = None
    nats_nkey: NatsNkey = None
    nats_creds: NatsCreds = None
    nats_tls_ca: NatsTlsCa = None
    nats_tls_cert: NatsTlsCert = None
    nats_tls_key: NatsTlsKey = None
    nats_tls_first: NatsTlsFirst = None
    nats_inbox: NatsInbox = None
    nats_api_prefix: NatsApiPrefix = None
    nats_domain: NatsDomain = None
    root: Annotated[str | None, _option("TOKEN", "First token of every subject (containerd).")] = None
    state_dir: Annotated[Path | None, _option("DIR", "State of the bridge whose embedded server is used.")] = None
    config: Annotated[Path | None, _option("FILE", "TOML file with settings.")] = None
    log_level: Annotated[str | None, _option("LEVEL", "debug, info, warning or error (warning).")] = None

    def load(self) -> Config:
        """Return the configuration: these options, else the environment, else the file.

        Raises:
            ConfigError: something is wrong with it.
        """
        given = {
            "nats.url": self.nats,
            "nats.user": self.nats_user,
            "nats.password": self.nats_password,
            "nats.token": self.nats_token,
            "nats.nkey": self.nats_nkey,
            "nats.creds": self.nats_creds,
            "nats.tls_ca": self.nats_tls_ca,
            "nats.tls_cert": self.nats_tls_cert,
            "nats.tls_key": self.nats_tls_key,
            "nats.tls_first": self.nats_tls_first,
            "nats.inbox": self.nats_inbox,
            "nats.api_prefix": self.nats_api_prefix,
            "nats.domain": self.nats_domain,
            "root": self.root,
            "state_dir": self.state_dir,
            "log_level": self.log_level,
        }
        return load(given, file=self.config)

    def nats_config(self, config: Config) -> NatsConfig:
        """Return how to reach NATS: as configured, else the server that a bridge on this machine runs, else the default."""
        return config.nats if self._say_nats(config) else embedded_here(config.state_dir) or config.nats

    def _say_nats(self, config: Config) -> bool:
        if config.nats != NatsConfig() or self.nats is not None:
            return True
        if any(name.startswith(f"{ENVIRONMENT}NATS") and value.strip() for name, value in os.environ.items()):
            return True
        file = self.config or os.environ.get(f"{ENVIRONMENT}CONFIG", "").strip()
        return bool(file) and "nats" in tomllib.loads(Path(file).read_text(encoding="utf-8"))


_OPTIONS = [
    parameter(name, hint, None) for name, hint in get_type_hints(ConnectionOptions, include_extras=True).items()
]
_CONTEXT = parameter("context", typer.Context)
_OPENING = parameter("opening", AbstractAsyncContextManager)
_CONFIG = parameter("config", Config)


def with_connection_options(body: Callable[Concatenate[ConnectionOptions, P], None]) -> Callable[..., None]:
    """Make a command of `body`, which is given the connection options and its own."""

    def command(**values: Any) -> None:
        options = ConnectionOptions(**taken(values, _OPTIONS))
        body(options, **values)  # type: ignore[call-arg]

    return with_parameters(command, body, [*own_parameters(body), *_OPTIONS])


def client_command(body: Callable[Concatenate[Bus, P], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a command of `body`, which is given the open bus and its own options."""

    async def with_bus(opening: Opening, /, **values: Any) -> None:
        async with opening as bus:
            try:
                await body(bus, **values)  # type: ignore[call-arg]
            except BridgeError as error:
                await advise(bus, error)
                raise

    return opening_command(with_parameters(with_bus, body, [_OPENING, *own_parameters(body)]))


def opening_command(body: Callable[Concatenate[Opening, P], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a command of `body`, which is given the bus still to be opened, so that it can do without, and its own options."""

    async def without_settings(opening: Opening, _config: Config, /, **values: Any) -> None:
        await body(opening, **values)  # type: ignore[call-arg]

    return settings_command(with_parameters(without_settings, body, [_OPENING, _CONFIG, *own_parameters(body)]))


def settings_command(body: Callable[Concatenate[Opening, Config, P], Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Make a command of `body`, which is given the bus still to be opened, the settings as they apply, and its own options."""
    own = own_parameters(body)[1:]

    def command(*, context: typer.Context, **values: Any) -> None:
        options = ConnectionOptions(**taken(values, _OPTIONS))
        config = options.load()
        _log_to_stderr(options.log_level)
        connect: Connect = context.obj

        async def run() -> None:
            opening = connect(
                options.nats_config(config),
                root=config.root,
                state_dir=config.state_dir,
                checkpoint_key=config.checkpoint_key,
            )
            async with while_read():
                await body(opening, config, **values)  # type: ignore[call-arg]

        asyncio.run(run())

    return with_parameters(command, body, [_CONTEXT, *own, *_OPTIONS])


def _log_to_stderr(level: str | None) -> None:
    # What a client logs is for the person before it: only what they should act on, unless they ask for more.
    logging.basicConfig(
        level=(level or "warning").upper(),
        stream=sys.stderr,
        format=f"{PROGRAM}: %(levelname)s: %(message)s",
        force=True,
    )
