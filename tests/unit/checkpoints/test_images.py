"""What CRIU's own files say, against files that CRIU wrote, and against what it never would."""

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.checkpoints.images import Inventory, criu_version, dump_stats, inventory, stats_of
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CriuStats

DATA = Path(__file__).parent.parent.parent / "data"
STATS = (DATA / "stats-dump-criu-4.2.1").read_bytes()
INVENTORY = (DATA / "inventory-criu-4.2.1.img").read_bytes()
HEAD = STATS[:8]


def test_the_figures_are_those_that_checkpointctl_shows() -> None:
    assert dump_stats(STATS) == CriuStats(
        freezing_us=1873,
        frozen_us=402_147,
        memdump_us=7316,
        memwrite_us=724,
        pages_scanned=50,
        pages_written=36,
    )
    assert dump_stats((DATA / "stats-dump-criu-4.1.1").read_bytes()).pages_written > 0


def test_what_a_dump_was_made_with() -> None:
    assert inventory(INVENTORY) == Inventory(version=2, lsm="none", network_lock="iptables")


def test_memory_that_was_dumped_before_is_no_dump() -> None:
    body = b"\x08\x02\x30\x02\x48\x01\x58\x01\x62\x06\x62\x04cuda"
    said = inventory(INVENTORY[:4] + len(body).to_bytes(4, "little") + body)
    assert said == Inventory(version=2, lsm="apparmor", network_lock="nftables", pre_dump=True, plugins=["cuda"])


@pytest.mark.parametrize(
    ("log", "version"),
    [
        (b"(00.000000) Would overwrite RPC settings\n(00.000169) Version: 4.2.1 (gitid 0)\n", "4.2.1"),
        (b"(00.000032) Version: 3.17.1 (gitid 0)\n", "3.17.1"),
        (b"a process that says Version: 9.9\n", ""),
        (b"", ""),
        (b"\xff" * 100, ""),
    ],
)
def test_the_version_stands_in_the_log(log: bytes, version: str) -> None:
    assert criu_version(log) == version


def test_figures_that_are_not_there_are_none(tmp_path: Path) -> None:
    assert stats_of(tmp_path) is None
    (tmp_path / "stats-dump").symlink_to(DATA / "stats-dump-criu-4.2.1")
    assert stats_of(tmp_path) is None
    (tmp_path / "stats-dump").unlink()
    (tmp_path / "stats-dump").write_bytes(STATS)
    assert stats_of(tmp_path) == dump_stats(STATS)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "does not begin"),
        (INVENTORY, "does not begin"),
        (HEAD, "ends in the middle"),
        (HEAD + b"\xff\xff\xff\xff" + b"\x0a\x00", "ends in the middle"),
        (HEAD + b"\x02\0\0\0" + b"\x10\x01", "has no figures of a dump"),
        (HEAD + b"\x02\0\0\0" + b"\x08\x01", "has no figures of a dump"),
        (HEAD + b"\x02\0\0\0" + b"\x0a\x7f", "in the middle of a field"),
        (HEAD + b"\x02\0\0\0" + b"\x0f\x00", "a kind that there is not"),
        (HEAD + b"\x0c\0\0\0" + b"\xff" * 12, "a number without an end"),
        (HEAD + bytes(1 << 17), "more than 65536 bytes"),
    ],
)
def test_what_are_no_figures_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(CommandFailed, match=says) as failed:
        dump_stats(data)
    assert failed.value.code == "invalid_argument"


@given(st.binary(max_size=200))
def test_whatever_stands_in_a_file_it_is_read_or_refused(data: bytes) -> None:
    for head, read in ((HEAD, dump_stats), (INVENTORY[:4], inventory)):
        for whole in (data, head + len(data).to_bytes(4, "little") + data):
            with contextlib.suppress(CommandFailed):
                read(whole)
