"""The states that a running bridge keeps: put right whatever is done to their bucket, and written by its node's bridge alone."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js.api import StreamConfig
from nats.js.errors import KeyDeletedError, KeyNotFoundError, NotFoundError

from tests.fix_bridge import UNHURRIED, UNHURRIED_S, BridgeFactory, stored
from tests.fix_nats import NatsServerFactory
from tests.integration.test_serve import ENDLESS, gapless
from tests.nats_client import keys_of
from tests.testbed import Ctr

BUCKET, STREAM = "containerd-state", "KV_containerd-state"
AUDIT_S = 1
LEASE_S = 3

Kept = dict[str, dict[str, Any]]


def on_jetstream(url: str, work: Callable[[Any], Any]) -> Any:
    """Do something as a client that is not ours."""

    async def connected() -> Any:
        client = await nats.connect(url)
        try:
            return await work(client.jetstream(timeout=60))
        finally:
            await client.close()

    return asyncio.run(connected())


def kept(url: str) -> Kept:
    """What stands in the bucket, by container; nothing where there is none."""

    async def read(js: Any) -> Kept:
        found: Kept = {}
        try:
            kv = await js.key_value(BUCKET)
            for key in await keys_of(js, BUCKET):
                with suppress(KeyNotFoundError, KeyDeletedError):
                    value = json.loads((await kv.get(key)).value)
                    found[value.get("container", key)] = value
        except NotFoundError:
            pass
        return found

    result: Kept = on_jetstream(url, read)
    return result


def until_kept(url: str, condition: Callable[[Kept], bool], *, within: float = 90) -> Kept:
    """Read the bucket again and again until it is as it should be."""
    deadline = time.monotonic() + within
    while not condition(found := kept(url)):
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    return found


def running(*containers: str) -> Callable[[Kept], bool]:
    """Whether exactly these stand there, running."""
    return lambda found: (
        dict.fromkeys(containers, "running") == {name: value.get("status") for name, value in found.items()}
    )


@pytest.fixture
def options(ctr: Ctr, nats_url: str, tmp_path: Path) -> tuple[str | Path, ...]:
    return (
        *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1", "--namespace", ctr.namespace),
        *("--state-dir", tmp_path / "state", "--audit-s", str(AUDIT_S)),
    )


@pytest.mark.parametrize("busy", [True, False], ids=["while something happens", "while nothing happens"])
def test_a_bucket_that_is_deleted_is_made_anew_and_filled(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, options: tuple[str | Path, ...], busy: bool
) -> None:
    ctr.run("a", *ENDLESS)
    bridge = bridge_factory(*options, "--audit-s", "3600" if busy else str(AUDIT_S))
    bridge.live()
    until_kept(nats_url, running("a"))
    before = len(bridge.log)
    on_jetstream(nats_url, lambda js: js.delete_stream(STREAM))
    if busy:
        ctr.run("b", *ENDLESS)
    until_kept(nats_url, running("a", "b") if busy else running("a"))
    bridge.until_logged("the states of containers are written again", after=before)
    said = [line for line in bridge.log[before:] if BUCKET in line]
    assert any("is gone" in line or "no bucket" in line for line in said)
    assert f"bucket {BUCKET} is gone, with all that was in it: making it anew" in said
    assert not any("start the bridge again" in line for line in said)


def test_a_bucket_that_somebody_made_anew_is_filled(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, options: tuple[str | Path, ...]
) -> None:
    ctr.run("a", *ENDLESS)
    bridge_factory(*options).live()
    until_kept(nats_url, running("a"))

    async def make_anew(js: Any) -> None:
        config: StreamConfig = (await js.stream_info(STREAM)).config
        await js.delete_stream(STREAM)
        await js.add_stream(config)

    on_jetstream(nats_url, make_anew)
    until_kept(nats_url, running("a"))


def test_keys_that_somebody_changed_or_took_away_are_put_right(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, options: tuple[str | Path, ...]
) -> None:
    for container in ("a", "b", "c"):
        ctr.run(container, *ENDLESS)
    bridge = bridge_factory(*options)
    bridge.live()
    right = until_kept(nats_url, running("a", "b", "c"))

    async def disturb(js: Any) -> None:
        kv = await js.key_value(BUCKET)
        keys = await keys_of(js, BUCKET)
        await kv.put(keys[0], b"{}")
        await kv.delete(keys[1])
        await kv.put(keys[2].replace("c", "strange"), b"{}")

    before = len(bridge.log)
    on_jetstream(nats_url, disturb)
    found, line = 0, before
    while found < 3:  # it may look in the midst of it
        line = bridge.until_logged("keys of containers were changed by somebody else", after=line)
        found += int(bridge.log[line - 1].split()[0])
    assert found == 3
    assert until_kept(nats_url, running("a", "b", "c")) == right


def test_one_that_was_suspended_writes_no_state_any_more(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, options: tuple[str | Path, ...], tmp_path: Path
) -> None:
    """What it still has to write is older than what the next one of the node has written."""
    lease = ("--lease", str(LEASE_S), "--audit-s", "3600")
    first = bridge_factory(*options, *lease)
    first.live()
    ctr.run("a", *ENDLESS)
    ctr.run("b", *ENDLESS)
    until_kept(nats_url, running("a", "b"))
    first.process.send_signal(signal.SIGSTOP)
    second = bridge_factory(*options, *lease, "--state-dir", tmp_path / "two")
    second.live()
    ctr.kill("a")
    after = until_kept(nats_url, lambda found: found["a"]["status"] == "stopped")
    first.process.send_signal(signal.SIGCONT)
    assert first.process.wait(90) == 1
    first.until_ended()
    assert kept(nats_url) == after
    assert second.stop() == 0


# -- the end


def test_a_stop_while_the_stream_is_being_made_anew_waits_for_it(
    bridge_factory: BridgeFactory, ctr: Ctr, nats_url: str, options: tuple[str | Path, ...]
) -> None:
    bridge = bridge_factory(*options)
    live = bridge.live()
    on_jetstream(nats_url, lambda js: js.delete_stream("CONTAINERD_EVENTS"))
    ctr.run("a", "true")
    bridge.until_logged("events wait in the outbox", after=live)
    assert bridge.stop() == 0
    messages = stored(nats_url)
    assert messages[-1].word == "stopped"
    gapless(messages)
    assert not any("wait in the outbox for the next start" in line for line in bridge.log)


@pytest.mark.parametrize("how", ["gone", "silent"])
def test_a_stop_without_nats_comes_to_its_end_in_order(
    bridge_factory: BridgeFactory,
    ctr: Ctr,
    nats_server_factory: NatsServerFactory,
    options: tuple[str | Path, ...],
    how: str,
) -> None:
    server = nats_server_factory()
    program = UNHURRIED if how == "gone" else None  # then there is nothing to wait for, and it is not waited for
    bridge = bridge_factory(*options, "--nats", server.url, program=program)
    live = bridge.live()
    if how == "gone":
        server.stop()
        bridge.until_logged("connection to NATS at", after=live)
    else:
        server.freeze()
    try:
        assert bridge.stop(within=UNHURRIED_S - 10) == 0
    finally:
        if how == "silent":
            server.thaw()
    assert any("wait in the outbox for the next start" in line for line in bridge.log)
    assert bridge.log[-1] == "stopped"
