"""A handover cuts the order of events at one probe: what came before is the former bridge's, the rest its successor's."""

from __future__ import annotations

import json
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from bridge.capture import handover as module
from bridge.capture.handover import Handover, Inherited
from bridge.capture.state_dir import claimed, holder
from bridge.errors import SourceLost
from bridge.model.events import TaskStart
from bridge.model.nanos import Nanos
from bridge.ports import Observed

SUCCESSOR = "01SUCCESSOR"


def event(number: int) -> Observed:
    start = TaskStart(container_id="web", pid=number)
    return Observed(event=start, namespace="default", container="web", time=Nanos(number), recorded=Nanos(number))


class Proven:
    """A subscription whose probes come back."""

    async def probe(self) -> int:
        return 1

    async def ended(self) -> SourceLost:
        return SourceLost("it has ended")


class One:
    """One bridge's handover, and what it took."""

    def __init__(self, state: Path) -> None:
        self.taken: list[int] = []
        self.left: list[str] = []
        self.handover = Handover(state, leave=self.left.append)

    def begin(self) -> None:
        self.handover.begin(lambda observed: self.taken.append(observed.time))


@pytest.fixture
def former(tmp_path: Path) -> One:
    one = One(tmp_path)
    one.begin()
    return one


@pytest.fixture
def successor(tmp_path: Path) -> One:
    """It has asked, and keeps what it hears."""
    one = One(tmp_path)
    one.handover._kept = []
    (tmp_path / "successor").write_text(json.dumps({"name": SUCCESSOR, "pid": 7}))
    return one


async def test_each_event_is_taken_by_one_of_the_two(former: One, successor: One) -> None:
    for number in (1, 2):
        former.handover.deliver(event(number))
    for number in (2, 3):  # it has followed since the second one
        successor.handover.deliver(event(number))
    former.handover.deliver(event(3))
    for name in ("1", "2"):  # of its probes the former bridge was late for the first
        successor.handover.probed(f"{SUCCESSOR}/{name}", mine=True)
        if name == "2":
            former.handover.probed(f"{SUCCESSOR}/{name}", mine=False)
        for number in (4, 5) if name == "1" else (6,):
            successor.handover.deliver(event(number))
            former.handover.deliver(event(number))
    former.handover.committed()
    inherited = successor.handover.inherit(Proven(), AsyncExitStack())
    assert inherited is not None
    successor.begin()
    inherited.release()
    successor.handover.deliver(event(7))
    assert (former.taken, successor.taken) == ([1, 2, 3, 4, 5], [6, 7])
    assert former.left == ["handed over to pid 7"]


@pytest.mark.parametrize("name", ["01ANOTHER/1", "", f"{SUCCESSOR}x/1"])
def test_a_probe_of_somebody_else_changes_nothing(former: One, successor: One, name: str) -> None:
    former.handover.probed(name, mine=False)
    former.handover.deliver(event(1))
    former.handover.committed()
    assert (former.taken, former.left, former.handover.cut) == ([1], [], False)
    assert successor.handover.inherit(Proven(), AsyncExitStack()) is None


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"name": 1}', "\0"])
def test_a_question_that_cannot_be_read_is_none(former: One, tmp_path: Path, text: str) -> None:
    (tmp_path / "successor").write_text(text)
    former.handover.probed(f"{SUCCESSOR}/1", mine=False)
    assert former.left == []


def test_a_bridge_that_did_not_commit_all_has_handed_nothing_over(former: One, successor: One) -> None:
    successor.handover.probed(f"{SUCCESSOR}/1", mine=True)
    former.handover.probed(f"{SUCCESSOR}/1", mine=False)
    assert former.handover.cut  # and it is killed before `committed`
    assert successor.handover.inherit(Proven(), AsyncExitStack()) is None


async def test_once_the_order_is_cut_no_probe_proves_anything(former: One, successor: One) -> None:
    subscription = former.handover.guarded(Proven())
    assert await subscription.probe() == 1
    former.handover.probed(f"{SUCCESSOR}/1", mine=False)
    with pytest.raises(SourceLost, match="taken the node over"):
        await subscription.probe()


def test_more_than_can_be_kept_is_a_start_with_a_gap(
    former: One, successor: One, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 2)
    successor.handover.probed(f"{SUCCESSOR}/1", mine=True)
    former.handover.probed(f"{SUCCESSOR}/1", mine=False)
    former.handover.committed()
    for number in range(3):
        successor.handover.deliver(event(number))
    assert successor.handover.inherit(Proven(), AsyncExitStack()) is None


def cut(former: One, successor: One) -> Inherited:
    """The successor has the directory, and has not recorded anything yet."""
    successor.handover.probed(f"{SUCCESSOR}/1", mine=True)
    former.handover.probed(f"{SUCCESSOR}/1", mine=False)
    former.handover.committed()
    inherited = successor.handover.inherit(Proven(), AsyncExitStack())
    assert inherited is not None
    successor.begin()
    return inherited


def test_more_than_can_be_kept_is_known_after_the_cut_too(
    former: One, successor: One, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 2)
    inherited = cut(former, successor)
    for number in range(3):
        successor.handover.deliver(event(number))
    with pytest.raises(SourceLost, match="more than 2 events"):
        inherited.check()


def test_between_the_check_and_the_release_there_is_room_for_all(
    former: One, successor: One, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ROOM", 2)
    inherited = cut(former, successor)
    successor.handover.deliver(event(1))
    inherited.check()
    for number in (2, 3, 4):
        successor.handover.deliver(event(number))
    inherited.release()
    assert successor.taken == [1, 2, 3, 4]


def test_who_works_in_a_directory_is_known_while_it_does(tmp_path: Path) -> None:
    import os

    assert holder(tmp_path) is None
    with claimed(tmp_path):
        assert holder(tmp_path) == str(os.getpid())
    assert holder(tmp_path) is None
