"""What the outbox may take of the disk, and from where on it may take more again."""

from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest

from bridge.capture.retention import Retention
from bridge.capture.room import MIB, Limits, Room


def test_a_full_outbox_takes_more_only_when_a_tenth_is_free(tmp_path: Path) -> None:
    room = Room(tmp_path, Limits(max_bytes=100 * MIB, reserve_bytes=0))
    assert room.shortage(100 * MIB - 1) is None
    assert "outbox_max_bytes is 100.0 MiB" in (room.shortage(100 * MIB) or "")
    assert room.shortage(91 * MIB) is not None
    assert room.shortage(89 * MIB) is None
    assert room.shortage(95 * MIB) is None


def test_a_disk_that_is_nearly_full_takes_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    free = [128 * MIB]
    monkeypatch.setattr(os, "statvfs", lambda _: SimpleNamespace(f_bavail=free[0] // 4096, f_frsize=4096))
    room = Room(tmp_path, Limits(reserve_bytes=128 * MIB))
    assert room.shortage(0) is None
    free[0] = 127 * MIB
    assert f"the disk under {tmp_path} is nearly full: 127.0 MiB are free" in (room.shortage(0) or "")
    free[0] = 130 * MIB
    assert room.shortage(0) is not None
    free[0] = 145 * MIB
    assert room.shortage(0) is None


def test_a_disk_that_does_not_say_what_is_free_stops_nothing(tmp_path: Path) -> None:
    assert Room(tmp_path / "gone", Limits()).shortage(0) is None


def test_what_is_acknowledged_is_over_after_its_time_and_not_before() -> None:
    now = [100.0]
    retention = Retention(10, 5, lambda: now[0])
    now[0] = 105.0
    retention.acknowledge(7)
    retention.acknowledge(6)
    assert retention.over == 0
    now[0] = 111.0
    assert retention.over == 5
    now[0] = 116.0
    assert retention.over == 7


def test_of_each_second_one_mark_is_kept() -> None:
    now = [0.0]
    retention = Retention(600, 0, lambda: now[0])
    for n in range(1, 10_001):
        now[0] += 0.01
        retention.acknowledge(n)
    assert len(retention._marks) <= 101


def test_what_is_acknowledged_again_is_kept_for_its_whole_time_again() -> None:
    now = [1_000.0]
    retention = Retention(10, 5, lambda: now[0])
    now[0] += 5
    retention.acknowledge(9)
    retention.went_back(7)
    retention.went_back(8)
    retention.acknowledge(7)
    now[0] += 6
    assert retention.over == 5
    now[0] += 10
    assert retention.over == 7
    now[0] += 100
    assert retention.over == 7
    retention.acknowledge(9)
    now[0] += 9
    assert retention.over == 7
    now[0] += 3
    assert retention.over == 9
    retention.went_back(4)
    assert retention.over == 4
    retention.acknowledge(9)
    now[0] += 12
    assert retention.over == 9
