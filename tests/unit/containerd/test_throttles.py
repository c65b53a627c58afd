"""Whether limits for block devices have arrived is read where the kernel keeps them, in both versions of control groups."""

from __future__ import annotations

from pathlib import Path

import pytest

from bridge.containerd.throttles import missing, wanted

RESOURCES = {
    "memory": {"limit": 1},
    "blockIO": {
        "weight": 100,
        "throttleReadBpsDevice": [{"major": 8, "minor": 0, "rate": 1000}, {"major": 8, "minor": 16, "rate": 0}],
        "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 50}],
    },
}
LIMITS = {("rbps", "8:0"): 1000, ("rbps", "8:16"): 0, ("wiops", "8:0"): 50}


class Host:
    """A process and its control group."""

    def __init__(self, root: Path) -> None:
        self.process, self.groups = root / "proc", root / "cgroup"
        self.process.mkdir()

    def version_1(self, *, read: str, write: str) -> None:
        (self.process / "cgroup").write_text("7:blkio:/default/web\n3:cpu,cpuacct:/x\n0::/y\n")
        group = self.groups / "blkio/default/web"
        group.mkdir(parents=True)
        (group / "blkio.throttle.read_bps_device").write_text(read)
        (group / "blkio.throttle.write_iops_device").write_text(write)

    def version_2(self, text: str) -> None:
        (self.process / "cgroup").write_text("0::/default/web\n")
        group = self.groups / "default/web"
        group.mkdir(parents=True)
        (group / "io.max").write_text(text)

    @property
    def missing(self) -> list[str]:
        return list(missing(LIMITS, self.process, self.groups))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    return Host(tmp_path)


def test_limits_are_read_out_of_what_oci_calls_them() -> None:
    assert wanted(RESOURCES) == LIMITS
    assert wanted({"memory": {"limit": 1}, "blockIO": {"weight": 100}}) == {}


@pytest.mark.parametrize(
    ("read", "write", "found"),
    [
        ("8:0 1000\n", "8:0 50\n", []),
        ("8:0 1000\n8:32 7\n", "8:0 50\n", []),
        ("", "", ["8:0"]),
        ("8:0 1000\n8:16 5\n", "8:0 50\n", ["8:16"]),
        ("8:0 999\n", "8:0 50\n", ["8:0"]),
    ],
    ids=["all", "more", "none", "one that should be gone", "another rate"],
)
def test_version_1_has_a_file_for_each(host: Host, read: str, write: str, found: list[str]) -> None:
    host.version_1(read=read, write=write)
    assert host.missing == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("8:0 rbps=1000 wbps=max riops=max wiops=50\n", []),
        ("", ["8:0"]),
        ("8:0 rbps=1000 wbps=max riops=max wiops=max\n8:16 rbps=9 wbps=max riops=max wiops=max\n", ["8:0", "8:16"]),
    ],
)
def test_version_2_has_one_file(host: Host, text: str, found: list[str]) -> None:
    host.version_2(text)
    assert host.missing == found


def test_what_cannot_be_seen_is_not_said_to_be_missing(host: Host) -> None:
    assert host.missing == []
    (host.process / "cgroup").write_text("7:blkio:/../../elsewhere\n")
    assert host.missing == []
    (host.process / "cgroup").write_text("nonsense\n")
    assert host.missing == []
