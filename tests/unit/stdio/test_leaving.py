"""What processes leave behind when their container goes: all of it is taken before, or it is said that something is missing."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from bridge.control import lifecycle
from bridge.control.verb import Place
from bridge.model.commands import Delete
from bridge.model.stdio import Credit
from bridge.stdio import output, sessions
from bridge.testing import Program
from tests.unit.policy.specs import anything
from tests.unit.stdio.conftest import House, until

LEFT = b"".join(b"%d\n" % n for n in range(30_000))
"""More than a FIFO takes: the rest is with the shim, which goes with its task."""


def place(house: House) -> Place:
    more: dict[str, Any] = {"sessions": house.sessions, "permit": anything}
    return Place(
        runtime=house.containerd.runtime, node="n1", namespace="default", container="web", command_id="c9", **more
    )


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "HELD", 1000)


async def test_an_exec_whose_owner_does_not_read_is_whole_when_its_container_is_deleted(house: House) -> None:
    session = await house.run(Program(says=b"first", leaves=LEFT), window=1)
    await until(lambda: session.result().stdout.size == 1)
    await lifecycle.delete(place(house), Delete(force=True))
    ended = await session.ended()
    assert (ended.stdout.size, ended.stdout.truncated) == (5 + len(LEFT), None)
    assert ended.stdout.sha256 == hashlib.sha256(b"first" + LEFT).hexdigest()


async def test_who_has_ended_waits_for_no_reader(house: House) -> None:
    session = await house.run(Program(says=b"first", leaves=LEFT, exits=0), window=1)
    owner = Credit(session=session.id, key=session.secret, owner="me", window=1)
    await house.bus.credit(house.subject("credit"), owner)
    assert (await session.ended()).stdout.size == 5 + len(LEFT)


async def test_without_a_bus_it_is_taken_all_the_same(house: House) -> None:
    session = await house.run(Program(says=b"first", leaves=LEFT))
    with house.bus.down():
        await lifecycle.delete(place(house), Delete(force=True))
    ended = await session.ended()
    assert (ended.stdout.size, ended.stdout.truncated) == (5 + len(LEFT), None)


async def test_what_does_not_come_in_time_is_said_to_be_missing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "DRAIN_S", 0.05)
    monkeypatch.setattr(output, "AFTERWARDS", 2000)
    with house.bus.down():
        session = await house.run(Program(says=b"first", leaves=LEFT))
        await lifecycle.delete(place(house), Delete(force=True))
    ended = await session.ended()
    assert (ended.stdout.truncated, ended.stdout.size) == ("deleted", 3000)
    _, end = await house.stored(session.id)
    assert end is not None
    assert (end.truncated, end.size) == ("deleted", 3000)
    assert house.leftovers() == []
