"""A link's end is one fact for all who wait for it."""

import asyncio

import pytest

from bridge.jetstream.client import LONGEST_PAUSE_S, Client, Link


async def test_who_is_cancelled_while_he_waits_for_the_loss_spoils_it_for_nobody() -> None:
    link = Link()
    waiting = [asyncio.create_task(link.lost()) for _ in range(2)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    await asyncio.wait({waiting[0]})
    assert link.alive
    link.lose("cut")
    assert await waiting[1] == "cut"


async def test_those_who_watch_are_told_once_and_those_who_come_late_at_once() -> None:
    link = Link()
    told: list[str] = []
    silent: list[str] = []
    link.watch(told.append)
    link.watch(silent.append)
    link.unwatch(silent.append)
    link.lose("first")
    link.lose("second")
    link.watch(told.append)
    assert (told, silent) == (["first", "first"], [])


@pytest.mark.parametrize(("lasted", "longest"), [(LONGEST_PAUSE_S + 1, 0.05), (0.0, 0.2)])
async def test_who_is_thrown_out_at_once_waits_longer(lasted: float, longest: float) -> None:
    client = Client(demand_tls=False, has_certificate=False, denied=lambda _: None, gave_up=lambda _: None)
    pauses = []
    for _ in range(50):
        client._found()
        client._linked_at -= lasted
        client._lose("thrown out")
        pauses.append(client.next_server([object()], {})[1])  # type: ignore[list-item]
    assert max(pauses) <= longest
    assert max(pauses) > longest / 2


async def test_pauses_grow_while_nobody_answers_and_stay_below_two_seconds() -> None:
    client = Client(demand_tls=False, has_certificate=False, denied=lambda _: None, gave_up=lambda _: None)
    pauses = [client.next_server([object()], {})[1] for _ in range(100)]  # type: ignore[list-item]
    assert pauses[0] <= 0.05
    assert 1.0 < max(pauses) <= LONGEST_PAUSE_S
