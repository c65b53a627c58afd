"""What is said before a dump and before a restore: one fact is changed, and one finding with it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.checkpoints import ToDump, ToRestore, before_dump, before_restore, host_paths
from bridge.checkpoints.cpu import missed
from bridge.model.checkpoints import ArchiveFacts, CheckpointOptions, Finding, HostFacts, Listening
from bridge.ports.checkpoints import CriuCheck
from tests.unit.checkpoints.archives import RECORD


class Case(NamedTuple):
    """What is changed, and the finding that changes with it."""

    changed: dict[str, Any]
    check: str
    level: str
    says: str


WORKS = CriuCheck("4.2.1", True, "Looks good.")
FLAGS = ["aes", "avx", "avx2", "constant_tsc", "fpu", "sse4_2"]
HOST = HostFacts(
    hostname="a",
    arch="amd64",
    kernel="6.18.44-fc",
    cpu_flags=FLAGS,
    cgroup="v2",
    criu="4.2.1",
    containerd="2.1.9",
    runtime="runc",
    lsm=["apparmor"],
)
OWN = {"process": {}, "linux": {"namespaces": [{"type": "pid"}, {"type": "network"}]}, "mounts": []}
BY_PATH = {"linux": {"namespaces": [{"type": "network", "path": "/proc/1/ns/net"}]}}
JOINED = {"linux": {"namespaces": [{"type": "network", "path": "/run/netns/web"}]}}
HOSTS = {"linux": {"namespaces": [{"type": "pid"}]}}
BOUND = OWN | {"mounts": [{"destination": "/data\x1b", "source": "/srv/data", "options": ["rbind", "ro"]}]}
TCP = CheckpointOptions(tcp_established=True)

DUMP = ToDump(
    host=HOST, criu=WORKS, status="running", spec=OWN, execs=0, stdio="null", connections=0, memory=1, space=9
)

DUMPS = {
    "no CRIU": Case({"criu": CriuCheck("", False, ""), "host": HostFacts()}, "criu", "blocks", "there is no CRIU"),
    "CRIU that nobody asked": Case(
        {"criu": CriuCheck("4.2.1", None, "")}, "criu", "unknown", "CRIU 4.2.1 is there; it"
    ),
    "nothing of CRIU": Case(
        {"criu": CriuCheck("", None, ""), "host": HostFacts()}, "criu", "unknown", "whether CRIU is there is not known"
    ),
    "a kernel without what CRIU needs": Case(
        {"criu": CriuCheck("4.2.1", False, "no \x1b[2J ptrace")}, "criu", "blocks", r"it says: no \x1b[2J ptrace"
    ),
    "CRIU that is older than the kernel": Case(
        {"criu": CriuCheck("3.17.1", True, "")}, "criu", "blocks", "CRIU 3.17.1 does not know Linux 6.18.44-fc"
    ),
    "that on an older kernel": Case(
        {"criu": CriuCheck("3.17.1", True, ""), "host": msgspec.structs.replace(HOST, kernel="6.1.0")},
        "criu",
        "ok",
        "CRIU 3.17.1 says",
    ),
    "that on another architecture": Case(
        {"criu": CriuCheck("3.17.1", True, ""), "host": msgspec.structs.replace(HOST, arch="arm64")},
        "criu",
        "ok",
        "says",
    ),
    "paused": Case({"status": "paused"}, "status", "ok", "the task is paused"),
    "stopped": Case({"status": "stopped"}, "status", "blocks", "the task is stopped"),
    "no status": Case({"status": ""}, "status", "unknown", "not known"),
    "no status that containerd knows": Case({"status": "unknown"}, "status", "unknown", "not known"),
    "an exec": Case({"execs": 1}, "execs", "risk", "a process that was started in it besides will not be"),
    "execs": Case({"execs": 3}, "execs", "risk", "3 processes that were started"),
    "no view of execs": Case({"execs": None}, "execs", "unknown", "not known"),
    "the host's network": Case({"spec": OWN | HOSTS}, "network", "blocks", "in the host's network"),
    "the host's network by its path": Case({"spec": OWN | BY_PATH}, "network", "blocks", "in the host's network"),
    "a network that was made for it": Case({"spec": OWN | JOINED}, "network", "ok", "of its own"),
    "no spec: network": Case({"spec": None}, "network", "unknown", "not known"),
    "no spec: terminal": Case({"spec": None}, "terminal", "unknown", "not known"),
    "no spec: mounts": Case({"spec": None}, "mounts", "unknown", "not known"),
    "a spec of nonsense": Case({"spec": {"linux": [], "mounts": {}, "process": 1}}, "network", "blocks", "host's"),
    "connections": Case({"connections": 2}, "tcp", "blocks", "established TCP connections (2)"),
    "connections that are asked for": Case(
        {"connections": 2, "options": TCP, "spec": OWN | JOINED}, "tcp", "ok", "are dumped"
    ),
    "connections that are closed": Case(
        {"connections": 2, "options": CheckpointOptions(tcp_close=True)}, "tcp", "ok", "closed at the restore"
    ),
    "connections in a network that goes": Case({"options": TCP}, "tcp", "risk", "can only be closed"),
    "sockets that CRIU does not know": Case(
        {"criu": CriuCheck("4.1.1", True, "")},
        "sockets",
        "risk",
        "CRIU 4.1.1 cannot dump sockets of TCP and UDP on Linux 6.18",
    ),
    "sockets of an older kernel": Case(
        {"criu": CriuCheck("4.1.1", True, ""), "host": msgspec.structs.replace(HOST, kernel="6.12.1")},
        "sockets",
        "ok",
        "knows the sockets",
    ),
    "sockets of a kernel that is not known": Case({"host": HostFacts()}, "sockets", "unknown", "not known"),
    "control groups that nobody restores": Case(
        {"options": CheckpointOptions(cgroups_mode="strict")}, "cgroup", "blocks", "never restored"
    ),
    "no view of connections": Case({"connections": None}, "tcp", "unknown", "not known"),
    "a terminal": Case({"spec": OWN | {"process": {"terminal": True}}}, "terminal", "ok", "has a terminal"),
    "stdio on the bus": Case({"stdio": "bus"}, "stdio", "ok", "can be made again"),
    "stdio to a program": Case({"stdio": "binary"}, "stdio", "risk", "goes to binary"),
    "no view of stdio": Case({"stdio": ""}, "stdio", "unknown", "not known"),
    "something mounted": Case({"spec": BOUND}, "mounts", "ok", r"at /data\x1b is not in the checkpoint"),
    "no room": Case({"space": 0}, "space", "blocks", "it takes 1 bytes, and 0 are free"),
    "no view of room": Case({"space": None}, "space", "unknown", "not known"),
}

THEN = msgspec.structs.replace(
    RECORD,
    host=HOST,
    image_digest="sha256:a",
    snapshotter="overlayfs",
    options=CheckpointOptions(),
    archive=ArchiveFacts(size=5, digest="", unpacked=9),
)
RESTORE = ToRestore(
    host=HOST,
    criu=WORKS,
    record=THEN,
    spec=OWN,
    image_here=True,
    image_digest="sha256:a",
    id_free=True,
    missing=(),
    runtime_here=True,
    snapshotter_here=True,
    original_runs=False,
    space=9,
)


def here(**changed: Any) -> dict[str, Any]:
    return {"host": msgspec.structs.replace(HOST, **changed)}


def then(**changed: Any) -> dict[str, Any]:
    return {"record": msgspec.structs.replace(THEN, host=msgspec.structs.replace(HOST, **changed))}


def tcp(address: str, port: int) -> Listening:
    return Listening(protocol="tcp", address=address, port=port)


def udp(address: str, port: int) -> Listening:
    return Listening(protocol="udp", address=address, port=port)


def listening(*listens: Listening, taken: list[Listening] | None, spec: Any = OWN | JOINED) -> dict[str, Any]:
    """In a network that others are in too."""
    return {"record": msgspec.structs.replace(THEN, listens=list(listens)), "taken": taken, "spec": spec}


WEB = tcp("127.0.0.1", 80)
FUSE = OWN | {
    "linux": {
        "namespaces": [{"type": "network"}],
        "devices": [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}, "nonsense"],
    }
}
ESTABLISHED = {"record": msgspec.structs.replace(THEN, options=TCP)}
LABELLED = {"spec": OWN | {"process": {"apparmorProfile": "docker-default"}}}

RESTORES = {
    "no CRIU": Case({"criu": CriuCheck("", False, ""), **here(criu="")}, "criu", "blocks", "there is no CRIU"),
    "an older CRIU": Case(
        {"criu": CriuCheck("4.1.1", True, "")}, "criu-version", "blocks", "dumped by CRIU 4.2.1, and here"
    ),
    "a newer CRIU": Case({"criu": CriuCheck("5.0", True, "")}, "criu-version", "ok", "here is 5.0"),
    "a CRIU that is not known": Case(then(criu=""), "criu-version", "unknown", "not known"),
    "another architecture": Case(here(arch="arm64"), "arch", "blocks", "dumped on amd64, and this is arm64"),
    "an architecture that is not known": Case(then(arch=""), "arch", "unknown", "not known"),
    "a lesser processor": Case(here(cpu_flags=["aes", "fpu"]), "cpu", "blocks", "avx, avx2, sse4_2"),
    "another clock": Case(here(cpu_flags=["aes", "avx", "avx2", "sse4_2", "x"]), "cpu", "ok", "has all"),
    "a processor that is not known": Case(then(cpu_flags=[]), "cpu", "unknown", "not known"),
    "an older kernel": Case(here(kernel="5.10.1"), "kernel", "risk", "on Linux 6.18.44-fc, and this is 5.10.1"),
    "an older build of the kernel": Case(here(kernel="6.18.1"), "kernel", "ok", "this is 6.18.1"),
    "a kernel that is not known": Case(here(kernel="custom"), "kernel", "unknown", "not known"),
    "other control groups": Case(here(cgroup="v1"), "cgroup", "blocks", "control groups v2, and here are v1"),
    "other control groups, ignored": Case(
        {**here(cgroup="v1"), "options": CheckpointOptions(cgroups_mode="ignore")}, "cgroup", "risk", "told to ignore"
    ),
    "control groups that nobody restores": Case(
        {"options": CheckpointOptions(cgroups_mode="strict")}, "cgroup", "blocks", "nothing is ever restored"
    ),
    "control groups that are not known": Case(then(cgroup=""), "cgroup", "unknown", "not known"),
    "no such runtime": Case({"runtime_here": False}, "runtime", "blocks", "not here: io.containerd.runc.v2"),
    "another runtime": Case(here(runtime="crun"), "runtime", "blocks", "dumped by runc, and here is crun"),
    "no view of runtimes": Case({"runtime_here": None}, "runtime", "unknown", "not known"),
    "no such snapshotter": Case({"snapshotter_here": False}, "snapshotter", "blocks", "not here: overlayfs"),
    "no view of snapshotters": Case({"snapshotter_here": None}, "snapshotter", "unknown", "not known"),
    "no image": Case({"image_here": False}, "image", "blocks", "not here: docker.io/library/busybox:local"),
    "an image that follows": Case({"image_here": False, "image_follows": True}, "image", "ok", "brought along"),
    "another image of that name": Case({"image_digest": "sha256:b"}, "image", "blocks", "another one"),
    "another image of that name, and the right one": Case(
        {"image_digest": "sha256:b", "image_as": "x/y:1"}, "image", "ok", "that one is here as x/y:1, and is taken"
    ),
    "another image of that name, and the right one follows": Case(
        {"image_digest": "sha256:b", "image_follows": True}, "image", "ok", "is brought along, under its digest"
    ),
    "an image that is not known": Case({"image_digest": ""}, "image", "unknown", "not known"),
    "no view of images": Case({"image_here": None}, "image", "unknown", "not known"),
    "an id that is taken": Case({"id_free": False}, "id", "blocks", "there is a container of this id"),
    "no view of ids": Case({"id_free": None}, "id", "unknown", "not known"),
    "the host's network": Case({"spec": OWN | HOSTS}, "network", "blocks", "in the host's network"),
    "the host's network by its path": Case({"spec": OWN | BY_PATH}, "network", "blocks", "in the host's network"),
    "a network that is gone": Case(
        {"spec": OWN | JOINED, "missing": ["/run/netns/web"]}, "network", "blocks", "not here: /run/netns/web"
    ),
    "a network that is gone is no mount": Case(
        {"spec": OWN | JOINED, "missing": ["/run/netns/web"]}, "mounts", "ok", "is here"
    ),
    "a network that is there": Case({"spec": OWN | JOINED}, "network", "ok", "is here"),
    "a network that nobody looked for": Case(
        {"spec": OWN | JOINED, "missing": None}, "network", "unknown", "not known"
    ),
    "no spec: network": Case({"spec": None}, "network", "unknown", "not known"),
    "ports in a network of its own": Case(listening(WEB, taken=[WEB], spec=OWN), "ports", "ok", "every port is free"),
    "ports that are free": Case(
        listening(WEB, taken=[udp("0.0.0.0", 80), tcp("0.0.0.0", 81), tcp("10.0.0.1", 80)]),
        "ports",
        "ok",
        "are free: tcp 127.0.0.1 80",
    ),
    "a port that somebody has": Case(
        listening(WEB, taken=[WEB]), "ports", "blocks", "listens already where it does: tcp 127.0.0.1 80"
    ),
    "a port that somebody has everywhere": Case(
        listening(tcp("::1", 80), taken=[tcp("::", 80)]), "ports", "blocks", "tcp ::1 80"
    ),
    "a port everywhere that somebody has": Case(
        listening(udp("0.0.0.0", 53), taken=[udp("127.0.0.53", 53)]), "ports", "blocks", "udp 0.0.0.0 53"
    ),
    "a port that somebody may have": Case(
        listening(WEB, taken=[tcp("::", 80)]), "ports", "risk", "may listen already where it does"
    ),
    "a port of the other protocol's addresses": Case(
        listening(tcp("::1", 80), taken=[tcp("0.0.0.0", 80)]), "ports", "ok", "are free"
    ),
    "a port in the host's network": Case(listening(WEB, taken=[WEB], spec=OWN | HOSTS), "ports", "blocks", "80"),
    "no ports": Case(listening(taken=None), "ports", "ok", "listens nowhere"),
    "ports that are not known": Case({"spec": OWN | JOINED, "taken": [WEB]}, "ports", "unknown", "where it listens"),
    "ports in a network that is not seen": Case(
        listening(WEB, taken=None), "ports", "unknown", "free is not known: tcp 127.0.0.1 80"
    ),
    "no spec: ports": Case({"spec": None}, "ports", "unknown", "not known"),
    "a device that is gone": Case(
        {"spec": FUSE, "missing": ["/sys/dev/char/10:229"]}, "devices", "risk", "not restored: /dev/fuse"
    ),
    "a device that is gone is no mount": Case(
        {"spec": FUSE, "missing": ["/sys/dev/char/10:229"]}, "mounts", "ok", "is here"
    ),
    "a device that is there": Case({"spec": FUSE}, "devices", "ok", "are here"),
    "devices that nobody looked for": Case({"spec": FUSE, "missing": None}, "devices", "unknown", "known: /dev/fuse"),
    "no spec: devices": Case({"spec": None}, "devices", "unknown", "not known"),
    "a mount that is gone": Case({"spec": BOUND, "missing": ["/srv/\r"]}, "mounts", "blocks", r"not here: /srv/\r"),
    "mounts that nobody looked for": Case({"missing": None}, "mounts", "unknown", "not known"),
    "connections": Case(ESTABLISHED | {"spec": OWN | JOINED}, "tcp", "risk", "need the address"),
    "connections in a network that is made anew": Case(ESTABLISHED, "tcp", "risk", "cannot be restored"),
    "connections of one that runs": Case(
        ESTABLISHED | {"original_runs": True}, "tcp", "blocks", "held by the original"
    ),
    "connections of nobody knows": Case(ESTABLISHED | {"original_runs": None}, "tcp", "unknown", "not known"),
    "connections that are closed": Case(
        ESTABLISHED | {"original_runs": True, "options": CheckpointOptions(tcp_close=True)}, "tcp", "ok", "are closed"
    ),
    "no record: tcp": Case({"record": None}, "tcp", "unknown", "not known"),
    "no record: cpu": Case({"record": None}, "cpu", "unknown", "not known"),
    "a label that this host knows": Case(LABELLED, "lsm", "ok", "this host has apparmor"),
    "a label that it does not": Case(LABELLED | here(lsm=["capability"]), "lsm", "blocks", "labelled for apparmor"),
    "a label of who knows": Case(LABELLED | here(lsm=[]), "lsm", "unknown", "not known"),
    "no spec: lsm": Case({"spec": None}, "lsm", "unknown", "not known"),
    "no room": Case({"space": 1}, "space", "blocks", "it takes 9 bytes, and 1 are free"),
}


def only(findings: list[Finding], check: str) -> Finding:
    (found,) = [one for one in findings if one.check == check]
    return found


def is_as_told(finding: Finding, case: Case) -> None:
    assert (finding.level, case.says in finding.says) == (case.level, True), finding
    assert bool(finding.way_out) == (finding.level != "ok")


def test_where_all_is_known_and_well_all_is_ok() -> None:
    for verdict in (before_dump(DUMP), before_restore(RESTORE)):
        assert {one.level for one in verdict.findings} == {"ok"}, verdict
        assert len({one.check for one in verdict.findings}) == len(verdict.findings)
        assert verdict.ok


@pytest.mark.parametrize("case", DUMPS.values(), ids=DUMPS.keys())
def test_before_a_dump(case: Case) -> None:
    verdict = before_dump(msgspec.structs.replace(DUMP, **case.changed))
    is_as_told(only(verdict.findings, case.check), case)
    assert verdict.ok == ("blocks" not in {one.level for one in verdict.findings})


@pytest.mark.parametrize("case", RESTORES.values(), ids=RESTORES.keys())
def test_before_a_restore(case: Case) -> None:
    verdict = before_restore(msgspec.structs.replace(RESTORE, **case.changed))
    is_as_told(only(verdict.findings, case.check), case)


def test_where_nothing_is_known_nothing_is_ok() -> None:
    criu = CriuCheck("", None, "")
    dump = before_dump(ToDump(host=HostFacts(), criu=criu))
    restore = before_restore(ToRestore(host=HostFacts(), criu=criu))
    assert {one.level for one in [*dump.findings, *restore.findings] if one.check != "cgroup"} == {"unknown"}
    assert only(restore.findings, "cgroup").level == "unknown"


def test_the_paths_of_the_host_that_a_spec_needs() -> None:
    mounts = [
        {"destination": "/data", "source": "/srv/data", "options": ["rbind"]},
        {"destination": "/proc", "source": "proc", "type": "proc"},
        {"destination": "/etc/hosts", "source": "/srv/hosts", "type": "bind"},
        {"destination": "/again", "source": "/srv/data", "type": "bind"},
        "nonsense",
    ]
    assert host_paths(OWN | JOINED | {"mounts": mounts}) == ["/srv/data", "/srv/hosts", "/run/netns/web"]
    assert host_paths(FUSE) == ["/sys/dev/char/10:229"]
    assert host_paths({"linux": {"devices": [{"type": "b", "major": 7, "minor": 0}]}}) == ["/sys/dev/block/7:0"]
    assert host_paths({"linux": {"devices": [{"type": "p", "major": 7}, {"type": "c", "major": "7"}]}}) == []
    assert host_paths({"mounts": 1, "linux": []}) == []


@pytest.mark.parametrize(
    ("arch", "lacking", "counts"),
    [
        ("amd64", "avx512_vbmi2", True),
        ("amd64", "sse4a", True),
        ("amd64", "amx_tile", True),
        ("amd64", "xsavec", True),
        ("amd64", "rdrand", True),
        ("amd64", "hypervisor", False),
        ("amd64", "nonstop_tsc", False),
        ("amd64", "arch_capabilities", False),
        ("amd64", "ibrs_enhanced", False),
        ("arm64", "sve", True),
        ("arm64", "evtstrm", False),
    ],
)
def test_of_a_processor_only_what_programs_use_counts(arch: str, lacking: str, counts: bool) -> None:
    assert missed(arch, ["fpu", lacking], ["fpu"]) == ([lacking] if counts else [])


json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["linux", "namespaces", "type", "path", "mounts", "options", "process"]), inner
        )
    ),
    max_leaves=20,
)


@given(spec=json)
def test_a_spec_can_be_anything(spec: Any) -> None:
    if isinstance(spec, dict):
        before_dump(msgspec.structs.replace(DUMP, spec=spec))
        before_restore(msgspec.structs.replace(RESTORE, spec=spec, missing=None))
