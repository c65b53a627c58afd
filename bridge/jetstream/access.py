"""Where NATS is and how we log in: `NatsConfig` checked and turned into what nats-py's client takes.

Everything that a typing mistake can break is found here, before the network is touched, and named with its file. Secrets
are read again at every login, so a rotated credentials file is picked up by the next reconnect, and never appear in a
message.
"""

from __future__ import annotations

import base64
import re
import ssl
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import SplitResult, unquote, urlsplit

from bridge.config import NatsConfig
from bridge.errors import ConfigError

__all__ = ["Access", "access", "domain_api", "mask", "read_creds"]

DEFAULT_PORT = 4222
_DOMAIN = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
_USERINFO = re.compile(r"//[^/@]*@|^[^/@]*@")
_JWT = re.compile(r"-+BEGIN NATS USER JWT-+\s+([\w.=-]+)\s+-+END NATS USER JWT-+", re.ASCII)
_SEED = re.compile(r"-+BEGIN USER NKEY SEED-+\s+([A-Z2-7=]+)\s+-+END USER NKEY SEED-+", re.ASCII)


class Access(NamedTuple):
    """How to connect.

    Attributes:
        urls: the servers', without secrets.
        demand_tls: whether TLS is demanded.
        has_certificate: whether there is a client certificate to show.
        options: nats-py's, for login and TLS.
        api_prefix: what the subjects of JetStream's own API begin with, without the last dot.
        domain: the JetStream domain, where it is another one than that of the server.
    """

    urls: list[str]
    demand_tls: bool
    has_certificate: bool
    options: dict[str, Any]
    api_prefix: str = NatsConfig().api_prefix
    domain: str = ""


class Credentials(NamedTuple):
    """What a `.creds` file holds."""

    jwt: str
    seed: str


def access(config: NatsConfig) -> Access:
    """Return how to connect.

    Raises:
        ConfigError: a URL or a file is wrong; the sentence names it.
    """
    urls, logins, tls = [], set(), config.tls_first
    for text in [part.strip() for part in config.url.split(",") if part.strip()]:
        parts = _split(text)
        tls = tls or parts.scheme == "tls"
        if parts.username:
            logins.add((unquote(parts.username), unquote(parts.password) if parts.password is not None else None))
        host = parts.hostname or ""
        urls.append(f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{parts.port or DEFAULT_PORT}")
    if not urls:
        raise ConfigError("nats.url is empty: give one such as nats://127.0.0.1:4222")
    options = _login(config, logins)
    if config.inbox != NatsConfig().inbox:
        options["inbox_prefix"] = config.inbox
    context = _tls_context(config)
    if context is not None:
        options["tls"] = context
    if config.tls_first:
        options["tls_handshake_first"] = True
    return Access(urls, tls or context is not None, config.tls_cert is not None, options, _api(config), config.domain)


def domain_api(domain: str) -> str:
    """Return what the subjects of a JetStream domain's API begin with, without the last dot."""
    return f"$JS.{domain}.API"


def mask(url: str) -> str:
    """Return the URL fit to be shown: without user and password."""
    return _USERINFO.sub(lambda match: "//***@" if match[0].startswith("//") else "***@", url)


def read_creds(path: Path) -> Credentials:
    """Read a credentials file as `nsc` writes it.

    Raises:
        ConfigError: it cannot be read, or is none.
    """
    text = _read(path, "nats.creds")
    jwt, seed = _JWT.search(text), _SEED.search(text)
    if jwt is None or seed is None:
        lacks = "a user JWT" if jwt is None else "an nkey seed"
        raise ConfigError(
            f"nats.creds: {path} has no block with {lacks}: give the .creds file that nsc wrote for a user"
        )
    _key_pair(seed[1], f"nats.creds: the seed in {path}").wipe()
    return Credentials(jwt[1], seed[1])


def _api(config: NatsConfig) -> str:
    if not config.domain:
        return config.api_prefix
    if not _DOMAIN.fullmatch(config.domain):
        raise ConfigError(
            f"nats.domain {config.domain!r} is no name of a domain: give the `domain` in the jetstream block of the hub's servers"
        )
    if config.api_prefix != NatsConfig().api_prefix:
        raise ConfigError("nats.domain and nats.api_prefix both say where JetStream is asked: give one")
    return domain_api(config.domain)


def _split(text: str) -> SplitResult:
    example = "give one such as nats://127.0.0.1:4222, several separated by commas, or embedded"
    try:
        parts = urlsplit(text if "://" in text else f"nats://{text}")
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"nats.url {mask(text)!r} is not valid ({error}): {example}") from error
    if parts.scheme not in {"nats", "tls"}:
        raise ConfigError(f"nats.url {mask(text)!r} begins with {parts.scheme}://, which is not supported: {example}")
    if not parts.hostname or port == 0 or any(character.isspace() for character in text):
        raise ConfigError(f"nats.url {mask(text)!r} names no host and port: {example}")
    return parts


def _login(config: NatsConfig, logins: set[tuple[str, str | None]]) -> dict[str, Any]:
    if len(logins) > 1:
        raise ConfigError(
            "nats.url has different users for different servers: give one, or nats.user and nats.password"
        )
    if logins and any((config.user, config.token, config.nkey, config.creds)):
        raise ConfigError("nats.url has a user, and there is another login beside it: give one of the two")
    if logins:
        user, password = logins.pop()
        return {"token": user} if password is None else {"user": user, "password": password}
    if config.user is not None:
        return {"user": config.user, "password": config.password}
    if config.token is not None:
        return {"token": config.token}
    if config.nkey is not None:
        _key_pair(_read(config.nkey, "nats.nkey"), f"nats.nkey: {config.nkey}").wipe()
        return {"nkeys_seed": str(config.nkey)}
    if config.creds is not None:
        return _creds_options(config.creds)
    return {}


def _creds_options(path: Path) -> dict[str, Any]:
    # nats-py reads such files itself, and spins for ever in one that has no JWT (2.16); so the reading is ours.
    read_creds(path)

    def jwt() -> bytes:
        return read_creds(path).jwt.encode()

    def sign(nonce: str) -> bytes:
        pair = _key_pair(read_creds(path).seed, f"nats.creds: the seed in {path}")
        try:
            return base64.b64encode(pair.sign(nonce.encode()))
        finally:
            pair.wipe()

    return {"user_jwt_cb": jwt, "signature_cb": sign}


def _key_pair(text: str, what: str) -> Any:
    import nkeys  # type: ignore[import-untyped] # noqa: PLC0415 - a MiB of PyNaCl that only those pay who log in so

    try:
        seed = text.strip().encode("ascii")
        prefix, raw = nkeys.decode_seed(bytearray(seed))
        whole = nkeys.encode_seed(bytes(raw), prefix) == seed  # its check sum, which decoding does not look at
        pair = nkeys.from_seed(bytearray(seed))
    except Exception as error:  # nkeys lets through whatever base 32 and PyNaCl raise
        raise ConfigError(f"{what} is no nkey seed: it must be one line that begins with SU") from error
    if not whole or prefix != nkeys.PREFIX_BYTE_USER:
        raise ConfigError(
            f"{what} is not the nkey seed of a user: that begins with SU, and not one letter may be changed"
        )
    return pair


def _read(path: Path, setting: str) -> str:
    try:
        return path.read_text("ascii")
    except OSError as error:
        raise ConfigError(f"{setting}: cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{setting}: {path} is not a text file of that kind") from error


def _tls_context(config: NatsConfig) -> ssl.SSLContext | None:
    if config.tls_ca is None and config.tls_cert is None and not config.tls_first:
        return None
    for name in ("tls_ca", "tls_cert", "tls_key"):
        path = getattr(config, name)
        if path is not None:
            _read(path, f"nats.{name}")
    context = ssl.create_default_context()
    if config.tls_ca is not None:
        # Ours alone: who names an authority does not want every public one beside it.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        try:
            context.load_verify_locations(cafile=config.tls_ca)
        except ssl.SSLError as error:
            raise ConfigError(f"nats.tls_ca: {config.tls_ca} holds no certificate in PEM form") from error
    if config.tls_cert is not None:
        _load_pair(context, config)
    return context


def _load_pair(context: ssl.SSLContext, config: NatsConfig) -> None:
    def encrypted() -> NoReturn:
        raise ConfigError(f"nats.tls_key: {config.tls_key} is encrypted: give a key without a passphrase")

    assert config.tls_cert is not None
    try:
        context.load_cert_chain(config.tls_cert, config.tls_key, password=encrypted)
    except ssl.SSLError as error:
        why = "do not belong together" if "MISMATCH" in str(error) else "are not a certificate and a key in PEM form"
        both = f"{config.tls_cert} and {config.tls_key}"
        raise ConfigError(f"nats.tls_cert and nats.tls_key: {both} {why}") from error
