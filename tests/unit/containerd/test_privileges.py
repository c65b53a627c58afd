"""What root may on a host, and so a privileged container: the capabilities of containerd, the devices, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bridge.containerd.privileges import capabilities_in, devices_below, privileges_at
from bridge.model.confinement import EVERY_CAPABILITY
from bridge.ports import HostDevice

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes device nodes")


def node(path: Path, mode: int = 0o620, *, block: bool = False, major: int = 1, minor: int = 3) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.mknod(path, (0o060000 if block else 0o020000) | 0o600, os.makedev(major, minor))
    except PermissionError as error:
        pytest.skip(f"no device nodes can be made here: {error}")
    path.chmod(mode)
    os.chown(path, 0, 5)


@needs_root
def test_devices_are_told_with_all_that_makes_them(tmp_path: Path) -> None:
    node(tmp_path / "dev/null")
    node(tmp_path / "dev/mapper/a", block=True, major=253, minor=0)
    found = list(devices_below(str(tmp_path)))
    assert found == [
        HostDevice(path="/dev/mapper/a", type="b", major=253, minor=0, mode=0o620, uid=0, gid=5),
        HostDevice(path="/dev/null", type="c", major=1, minor=3, mode=0o620, uid=0, gid=5),
    ]


@needs_root
def test_what_is_a_containers_own_or_no_device_is_left_out(tmp_path: Path) -> None:
    for name in ("pts/0", "shm/x", "mqueue/x", "fd/0", "console", ".udev/x"):
        node(tmp_path / "dev" / name)
    (tmp_path / "dev/file").touch()
    os.mkfifo(tmp_path / "dev/fifo")
    (tmp_path / "elsewhere").mkdir()
    node(tmp_path / "elsewhere/null")
    (tmp_path / "dev/link").symlink_to(tmp_path / "elsewhere/null")
    (tmp_path / "dev/linked").symlink_to(tmp_path / "elsewhere")
    assert list(devices_below(str(tmp_path))) == []


def test_a_host_without_dev_is_told(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list(devices_below(str(tmp_path)))


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        ("Name:\tx\nCapEff:\t0000000000200001\n", ("CAP_CHOWN", "CAP_SYS_ADMIN")),
        ("CapEff:\t000001ffffffffff\nCapBnd:\t0000000000000000\n", EVERY_CAPABILITY),
        ("CapEff:\tffffffffffffffff\n", EVERY_CAPABILITY),  # a kernel that knows more
        ("CapEff:\t0000000000000000\n", ()),
        ("", EVERY_CAPABILITY),
    ],
)
def test_capabilities_are_those_in_effect(status: str, expected: tuple[str, ...]) -> None:
    assert capabilities_in(status) == expected


def test_without_containerd_in_sight_everything_is_asked_for(tmp_path: Path) -> None:
    found = privileges_at(tmp_path / "none.sock")
    assert found.capabilities == EVERY_CAPABILITY
    assert "/dev/null" in [device.path for device in found.devices]
