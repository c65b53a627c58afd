"""How many sessions there is room for, and what is said where there is no more."""

from __future__ import annotations

import resource
import subprocess
import sys

import pytest

from bridge.errors import CommandFailed
from bridge.ports import SessionOrder
from bridge.stdio.room import EACH, MOST, room_for
from bridge.testing import Program
from tests.unit.stdio.conftest import House


@pytest.mark.parametrize(("limit", "room"), [(1, 1), (100, 5), (1024, 76), (4096, 384), (65_536, MOST)])
def test_what_there_is_room_for_leaves_files_for_the_rest(limit: int, room: int) -> None:
    assert room_for(limit) == room
    assert room == 1 or room * EACH <= limit * 0.95


@pytest.mark.parametrize(("soft", "hard", "then"), [(100, 200, 200), (100, 100, 100), (1024, 4096, 4096)])
def test_the_limit_is_raised_as_far_as_it_may_be(soft: int, hard: int, then: int) -> None:
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < hard:
        pytest.skip(f"the limit here is below {hard}: raise it")
    program = "from bridge.stdio.room import raise_limit; import resource; print(raise_limit(), *resource.getrlimit(7))"
    words = ["prlimit", f"--nofile={soft}:{hard}", sys.executable, "-c", program]
    assert subprocess.check_output(words).split() == [b"%d" % then, b"%d" % then, b"%d" % hard]


async def test_where_there_is_no_room_that_is_said_and_what_helps(house: House) -> None:
    house.sessions._most = 2
    await house.run(Program(), "e1", stdin=True)
    await house.run(Program(), "e2", stdin=True)
    with pytest.raises(CommandFailed, match=r"2 processes have their .*LimitNOFILE") as failed:
        await house.sessions.open(SessionOrder(namespace="default", container="web", exec_id="e3", command_id="c"))
    assert failed.value.code == "exhausted"
