"""The permission sets as scopes of signing keys, which is where `nsc` puts them: made here without it, on a real server.

The server takes the same subjects from there as from its configuration; what is not in a set it refuses in the same words.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import nkeys  # type: ignore[import-untyped]
import pytest

from bridge.client import CommandFailed, Sending, connect
from bridge.config import NatsConfig
from bridge.errors import ConfigError
from bridge.jetstream.permissions import Permitted, permitted
from bridge.model.subjects import Subjects
from tests.fix_bridge import BridgeFactory
from tests.fix_nats import NatsServerFactory
from tests.integration.test_jetstream_access import Key
from tests.testbed import Ctr

pytestmark = pytest.mark.containerd

UNLIMITED = {"subs": -1, "data": -1, "payload": -1}
LIMITS = {**UNLIMITED, "imports": -1, "exports": -1, "conn": -1, "leaf": -1, "wildcards": True}
VERSION = {"version": 2}
STORE = {"mem_storage": -1, "disk_storage": -1, "streams": -1, "consumer": -1}


class Authority:
    """An operator, a system account, and an account with JetStream that has a scoped signing key for each role."""

    def __init__(self, directory: Path, **roles: Permitted) -> None:
        self._directory = directory
        operator, system = Key(nkeys.PREFIX_BYTE_OPERATOR), Key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._account = Key(nkeys.PREFIX_BYTE_ACCOUNT)
        self._keys = {role: Key(nkeys.PREFIX_BYTE_ACCOUNT) for role in roles}
        scopes = [
            {"kind": "user_scope", "key": self._keys[role].public, "role": role, "template": _claims(found)}
            for role, found in roles.items()
        ]
        accounts = {
            system.public: operator.jwt(system.public, "SYS", {"limits": LIMITS, **VERSION, "type": "account"}),
            self._account.public: operator.jwt(
                self._account.public,
                "CONTAINERD",
                {"limits": LIMITS | STORE, "signing_keys": scopes, **VERSION, "type": "account"},
            ),
        }
        about = {"type": "operator", "system_account": system.public, **VERSION}
        preload = "\n".join(f"{public}: {jwt}" for public, jwt in accounts.items())
        self.config = (
            f"operator: {operator.jwt(operator.public, 'op', about)}\nsystem_account: {system.public}\n"
            f"resolver: MEMORY\nresolver_preload: {{ {preload} }}\n"
        )

    def creds(self, name: str, role: str) -> Path:
        """The credentials of a user of this role: its key has the permissions."""
        return self._written(name, self._keys[role], {"issuer_account": self._account.public})

    def creds_with(self, name: str, found: Permitted) -> Path:
        """The credentials of a user with these permissions of its own."""
        return self._written(name, self._account, _claims(found))

    def _written(self, name: str, by: Key, claims: dict[str, Any]) -> Path:
        user = Key(nkeys.PREFIX_BYTE_USER)
        jwt = by.jwt(user.public, name, {**claims, **VERSION, "type": "user"})
        path = self._directory / f"{name}.creds"
        path.write_text(
            f"-----BEGIN NATS USER JWT-----\n{jwt}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed}\n------END USER NKEY SEED------\n"
        )
        return path


def _claims(found: Permitted) -> dict[str, Any]:
    return {"pub": {"allow": found.publish}, "sub": {"allow": found.subscribe}, **UNLIMITED}


async def test_a_bridge_and_an_operator_with_jwts(
    nats_server_factory: NatsServerFactory, bridge_factory: BridgeFactory, ctr: Ctr, tmp_path: Path
) -> None:
    of_node = permitted("node", Subjects(), inbox="_INBOX.n1", node="n1")
    of_shop = permitted("namespace", Subjects(), inbox="_INBOX.ann", namespace=ctr.namespace)
    authority = Authority(tmp_path, node=of_node, shop=of_shop)
    server = nats_server_factory(config=authority.config)
    bridge = await asyncio.to_thread(
        bridge_factory,
        *("--containerd", ctr.host.address, "--nats", server.url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--nats-creds", authority.creds("n1", "node"), "--nats-inbox", "_INBOX.n1", "--commands", "all"),
    )
    await asyncio.to_thread(bridge.live)
    await asyncio.to_thread(ctr.run, "web.1", "sh", "-c", "while :; do sleep 1; done", detach=True)
    creds = authority.creds("ann", "shop")
    async with connect(NatsConfig(url=server.url, creds=creds, inbox="_INBOX.ann")) as bus:
        node = await bus.node("n1")
        where: Any = {"namespace": ctr.namespace}
        await node.sending(Sending(durable=True, wait=True, id="job-1", timeout=90)).pause("web.1", **where)
        assert [view.id for view in await bus.jobs.list(**where)] == ["job-1"]
        with pytest.raises(CommandFailed, match="permi"):
            await node.capture("web.1", ["true"], **where)
        with pytest.raises(CommandFailed, match="permi"):
            await node.stop("web.1", namespace="other")
    violations = [line for line in server.log.splitlines() if "Violation" in line and "containerd.commands" not in line]
    assert [line for line in violations if "CONTAINERD_JOBS" not in line] == []
    # A set in the user's own JWT goes with it at each login, and is longer than what a server takes as one line there.
    with pytest.raises(ConfigError, match="maximum control line"):
        async with connect(NatsConfig(url=server.url, creds=authority.creds_with("n2", of_node), inbox="_INBOX.n1")):
            pass
