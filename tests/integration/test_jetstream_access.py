"""Logging in at a real nats-server: by user, token, nkey, creds and TLS; what is wrong is said in one sentence each."""

import asyncio
import base64
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest

from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.connection import Connection, connect
from tests.fix_nats import NatsServerFactory
from tests.guards import needs_the_machine
from tests.testbed import Proxy
from tests.testbed.certificates import Certificates

VIOLATION = "it refuses our login (Authorization Violation)"


@asynccontextmanager
async def connected(url: str, **settings: Any) -> AsyncIterator[Connection]:
    async with connect(NatsConfig(url=url, **settings), name="test") as connection:
        await connection.client.flush()
        yield connection


async def refusal(url: str, **settings: Any) -> str:
    with pytest.raises(ConfigError) as caught:
        async with connected(url, **settings):
            pass
    return str(caught.value)


class Key:
    """An nkey of ours."""

    def __init__(self, prefix: int) -> None:
        self.seed: str = nkeys.encode_seed(os.urandom(32), prefix).decode()
        self.pair = nkeys.from_seed(bytearray(self.seed.encode()))
        self.public: str = self.pair.public_key.decode()

    def jwt(self, subject: str, name: str, claims: dict[str, Any]) -> str:
        """A JWT about `subject` that this key has signed, as nsc makes it."""
        body = {"jti": name, "iat": int(time.time()), "iss": self.public, "name": name, "sub": subject, "nats": claims}
        parts = [_base64(json.dumps(part).encode()) for part in ({"typ": "JWT", "alg": "ed25519-nkey"}, body)]
        return ".".join([*parts, _base64(self.pair.sign(".".join(parts).encode()))])


def _base64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Operator:
    """An operator with one account, and what a server needs to know of them."""

    def __init__(self) -> None:
        operator = Key(nkeys.PREFIX_BYTE_OPERATOR)
        self.account = Key(nkeys.PREFIX_BYTE_ACCOUNT)
        unlimited = {"subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "conn": -1, "leaf": -1}
        account = {"limits": {**unlimited, "wildcards": True}, "type": "account", "version": 2}
        self.config = (
            f"operator: {operator.jwt(operator.public, 'op', {'type': 'operator', 'version': 2})}\n"
            "resolver: MEMORY\n"
            f"resolver_preload: {{ {self.account.public}: {operator.jwt(self.account.public, 'acc', account)} }}"
        )

    def creds(self, path: Path, *, signed_by: Key | None = None) -> Path:
        """Write a new user's credentials file."""
        user = Key(nkeys.PREFIX_BYTE_USER)
        claims = {"subs": -1, "data": -1, "payload": -1, "type": "user", "version": 2}
        jwt = (signed_by or self.account).jwt(user.public, "user", claims)
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        return path


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    with needs_the_machine():
        return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def strangers(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of an authority that nobody trusts."""
    with needs_the_machine():
        return Certificates(tmp_path_factory.mktemp("strangers"))


# -- who we are


async def test_user_and_password(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config='authorization { user: bob, password: "p@ss" }')
    async with connected(server.url, user="bob", password="p@ss"):
        pass
    async with connected(f"nats://bob:p%40ss@{server.address}"):
        pass
    assert VIOLATION in await refusal(server.url, user="bob", password="wrong")
    assert VIOLATION in await refusal(server.url)


async def test_token(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory(config="authorization { token: s3cret }")
    async with connected(server.url, token="s3cret"):
        pass
    async with connected(f"nats://s3cret@{server.address}"):
        pass
    assert VIOLATION in await refusal(server.url, token="wrong")


async def test_nkey(nats_server_factory: NatsServerFactory, tmp_path: Path) -> None:
    known, unknown = Key(nkeys.PREFIX_BYTE_USER), Key(nkeys.PREFIX_BYTE_USER)
    server = nats_server_factory(config=f"authorization {{ users: [{{ nkey: {known.public} }}] }}")
    seed = tmp_path / "seed"
    seed.write_text(known.seed + "\n")
    async with connected(server.url, nkey=seed):
        pass
    seed.write_text(unknown.seed)
    assert VIOLATION in await refusal(server.url, nkey=seed)


async def test_creds(nats_server_factory: NatsServerFactory, tmp_path: Path) -> None:
    operator = Operator()
    server = nats_server_factory(config=operator.config, jetstream=None)
    creds = operator.creds(tmp_path / "user.creds")
    async with connected(server.url, creds=creds):
        pass
    operator.creds(creds, signed_by=Key(nkeys.PREFIX_BYTE_ACCOUNT))
    assert VIOLATION in await refusal(server.url, creds=creds)


async def test_creds_that_are_broken_meanwhile_hold_up_nothing_and_new_ones_are_taken(
    nats_server_factory: NatsServerFactory, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    operator = Operator()
    server = nats_server_factory(config=operator.config, jetstream=None)
    creds = operator.creds(tmp_path / "user.creds")
    async with connected(server.url, creds=creds) as connection:
        creds.write_text("-----BEGIN NATS USER JWT-----\n")  # torn: where nats-py's own reading would spin for ever
        link = connection.link
        server.restart()
        await link.lost()
        async with asyncio.timeout(90):
            while "no block with a user JWT" not in caplog.text:
                await asyncio.sleep(0.01)
            operator.creds(creds)
            await connection.linked()
        await connection.client.flush()


async def test_a_login_that_is_taken_away_is_said_and_tried_again(
    nats_server_factory: NatsServerFactory, caplog: pytest.LogCaptureFixture
) -> None:
    server = nats_server_factory(config="authorization { user: bob, password: old }")
    async with connected(server.url, user="bob", password="old") as connection:
        link = connection.link
        server.config = "authorization { user: bob, password: new }"
        server.reload()
        await link.lost()
        async with asyncio.timeout(90):
            while VIOLATION not in caplog.text:
                await asyncio.sleep(0.01)
            server.config = "authorization { user: bob, password: old }"
            server.reload()
            await connection.linked()
        await connection.client.flush()


# -- TLS


def encrypted(connection: Connection) -> bool:
    writer = getattr(connection.client._transport, "_io_writer", None)
    assert isinstance(writer, asyncio.StreamWriter)
    return writer.get_extra_info("ssl_object") is not None


async def test_tls_with_our_own_authority(nats_server_factory: NatsServerFactory, certificates: Certificates) -> None:
    server = nats_server_factory(config=certificates.nats_config())
    for url in (f"tls://{server.address}", server.url, f"tls://localhost:{server.port}"):
        async with connected(url, tls_ca=certificates.ca) as connection:
            assert encrypted(connection)


async def test_tls_lives_through_a_restart(
    nats_server_factory: NatsServerFactory, certificates: Certificates, caplog: pytest.LogCaptureFixture
) -> None:
    server = nats_server_factory(config=certificates.nats_config())
    async with connected(server.url, tls_ca=certificates.ca) as connection:
        link = connection.link
        server.restart()
        await link.lost()
        await connection.linked()
        await connection.client.flush()
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_a_server_of_a_strange_authority_is_not_trusted(
    nats_server_factory: NatsServerFactory, certificates: Certificates, strangers: Certificates
) -> None:
    server = nats_server_factory(config=strangers.nats_config())
    for settings in ({"tls_ca": certificates.ca}, {}):
        sentence = await refusal(f"tls://{server.address}", **settings)
        assert "its TLS certificate is not trusted" in sentence
        assert "set nats.tls_ca" in sentence


async def test_a_certificate_for_another_name_is_not_trusted(
    nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(config=certificates.nats_config().replace(str(certificates.server), str(certificates.client))
        .replace(str(certificates.server_key), str(certificates.client_key)))  # fmt: skip
    assert "its TLS certificate is not trusted" in await refusal(server.url, tls_ca=certificates.ca)


async def test_a_client_certificate_is_shown_where_it_is_asked_for(
    nats_server_factory: NatsServerFactory, certificates: Certificates, strangers: Certificates
) -> None:
    server = nats_server_factory(config=certificates.nats_config(verify=True))
    pair = {"tls_cert": certificates.client, "tls_key": certificates.client_key}
    async with connected(server.url, tls_ca=certificates.ca, **pair):
        pass
    assert "set nats.tls_cert and nats.tls_key" in await refusal(server.url, tls_ca=certificates.ca)
    strange = {"tls_cert": strangers.client, "tls_key": strangers.client_key}
    assert "set nats.tls_cert to one" in await refusal(server.url, tls_ca=certificates.ca, **strange)


async def test_a_server_that_shakes_hands_first(
    nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(
        config=certificates.nats_config().replace("verify:", 'handshake_first: "300ms", verify:')
    )
    async with connected(server.url, tls_ca=certificates.ca, tls_first=True):
        pass


async def test_shaking_hands_first_with_a_server_that_does_not(
    nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(config=certificates.nats_config())
    assert "nats.tls_first" in await refusal(server.url, tls_ca=certificates.ca, tls_first=True)


@pytest.mark.parametrize("with_ca", [True, False])
async def test_a_server_without_tls_gets_no_password_where_tls_is_demanded(
    with_ca: bool, nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(config="authorization { user: bob, password: hunter2 }")
    settings = {"tls_ca": certificates.ca} if with_ca else {}
    async with Proxy(server.address) as proxy:
        scheme = "nats" if with_ca else "tls"
        sentence = await refusal(f"{scheme}://{proxy.address}", user="bob", password="hunter2", **settings)
        assert "TLS is demanded, and it offers none" in sentence
        assert proxy.relayed["to_server"] == 0


async def test_tls_is_used_where_the_server_only_offers_it(
    nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(config=certificates.nats_config() + "\nallow_non_tls: true")
    async with connected(f"tls://{server.address}", tls_ca=certificates.ca) as connection:
        assert encrypted(connection)


async def test_a_certificate_and_a_key_that_do_not_belong_together_are_named(certificates: Certificates) -> None:
    sentence = await refusal("a", tls_cert=certificates.client, tls_key=certificates.server_key)
    assert sentence == (
        f"nats.tls_cert and nats.tls_key: {certificates.client} and {certificates.server_key} do not belong together"
    )


async def test_an_encrypted_key_is_refused_and_nobody_is_asked(certificates: Certificates, tmp_path: Path) -> None:
    key = tmp_path / "encrypted.key"
    command = f"openssl pkey -in {certificates.client_key} -aes128 -passout pass:x -out {key}"
    process = await asyncio.create_subprocess_exec(*command.split())
    assert await process.wait() == 0
    assert await refusal("a", tls_cert=certificates.client, tls_key=key) == (
        f"nats.tls_key: {key} is encrypted: give a key without a passphrase"
    )
