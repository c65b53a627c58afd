"""What a spec asks is found whatever it is hidden in, and whatever a spec is there is an answer."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bridge.policy import Permissions, asks_of, asks_of_process, asks_of_runtime
from bridge.policy.asks import MOST_ASKS
from tests.unit.policy.specs import DEFAULT, changed, without

OWN = "/default/web.1"


def kinds(spec: Any) -> set[tuple[str, str]]:
    return {(ask.kind, ask.value) for ask in asks_of(spec, cgroups_path=OWN)}


def test_containerds_default_asks_for_nothing() -> None:
    assert asks_of(DEFAULT, cgroups_path=OWN) == ()


def test_the_files_for_finding_others_may_be_read_and_not_written() -> None:
    for source in ("/etc/hosts", "/etc/resolv.conf"):
        assert asks_of(changed("mounts.+", bind(source, "rbind", "ro")), cgroups_path=OWN) == ()
        assert kinds(changed("mounts.+", bind(source, "rbind"))) == {("host_mounts", source)}


def bind(source: str, *options: str, kind: str = "bind") -> dict[str, Any]:
    return {"destination": "/x", "type": kind, "source": source, "options": list(options)}


@pytest.mark.parametrize(
    ("path", "value", "asked"),
    [
        ("mounts.+", bind("/", "rbind", "ro"), ("host_mounts", "/")),
        ("mounts.+", bind("/srv//www/./", "bind"), ("host_mounts", "/srv/www")),
        ("mounts.+", bind("//etc", "bind", "ro"), ("host_mounts", "/etc")),
        ("mounts.+", bind("/run/containerd/containerd.sock"), ("host_mounts", "/run/containerd/containerd.sock")),
        ("mounts.+", bind("/etc", "rbind", kind="none"), ("host_mounts", "/etc")),
        ("mounts.+", bind("/etc", "RBIND", kind="tmpfs"), ("host_mounts", "/etc")),
        ("mounts.+", bind("/x", "bind", "rshared"), ("propagation", "")),
        ("mounts.+", bind("/dev/sda1", kind="ext4"), ("file_systems", "ext4")),
        ("mounts.+", bind("none", kind=""), ("file_systems", "")),
        ("mounts.+", bind("proc", kind="proc"), ("masked_paths", "proc")),
        ("mounts.+", bind("sysfs", "ro", kind="sysfs"), ("masked_paths", "sysfs")),
        ("mounts.+", bind("cgroup", kind="cgroup"), ("writable_cgroups", "cgroup")),
        ("mounts.+", bind("cgroup", "ro", "rw", kind="cgroup2"), ("writable_cgroups", "cgroup")),
        ("mounts.4.options", ["nosuid"], ("writable_cgroups", "sysfs")),
        ("mounts.+", {**bind("/x", "bind"), "uidMappings": []}, ("fields", "mounts.uidMappings")),
        ("mounts.+", "no mount", ("fields", "mounts")),
        ("root", {"path": "/var/lib/other"}, ("host_mounts", "/var/lib/other")),
        ("root", {"path": "../other"}, ("host_mounts", "../other")),
        ("hooks", {"prestart": [{"path": "/bin/sh"}]}, ("hooks", "")),
        ("Hooks", {"prestart": [{"path": "/bin/sh"}]}, ("fields", "Hooks")),
        ("windows", {}, ("fields", "windows")),
        ("annotations", {"run.oci.keep": "1"}, ("annotations", "run.oci.keep")),
        ("linux", None, ("host_namespaces", "net")),
        ("linux", [], ("fields", "linux")),
        ("linux.namespaces", [], ("host_namespaces", "pid")),
        ("linux.namespaces.0", {"type": "pid", "path": "/proc/1/ns/pid"}, ("namespace_paths", "/proc/1/ns/pid")),
        ("linux.namespaces.+", {"type": "network", "path": "/run/netns/x"}, ("namespace_paths", "/run/netns/x")),
        ("linux.namespaces.0", {"type": "PID"}, ("host_namespaces", "pid")),
        ("linux.namespaces.0", {"Type": "pid"}, ("host_namespaces", "pid")),
        ("linux.devices", [{"path": "/dev/fuse", "type": "c", "major": 10, "minor": 229}], ("devices", "c 10:229")),
        ("linux.devices", [{"path": "/dev/null", "type": "b", "major": 8, "minor": 0}], ("devices", "b 8:0")),
        ("linux.resources.devices.+", {"allow": True, "access": "rwm"}, ("devices", "* *:*")),
        ("linux.resources.devices.+", {"allow": "yes", "type": "c", "major": -1}, ("devices", "c *:*")),
        ("linux.resources.devices", [], ("devices", "* *:*")),
        ("linux.resources.unified", {"../../x": "1"}, ("fields", "linux.resources.unified")),
        ("linux.maskedPaths", [], ("masked_paths", "maskedPaths")),
        ("linux.readonlyPaths", None, ("masked_paths", "readonlyPaths")),
        ("linux.sysctl", {"kernel.core_pattern": "|/x"}, ("sysctls", "kernel.core_pattern")),
        ("linux.cgroupsPath", "/kubepods/x", ("cgroup_paths", "/kubepods/x")),
        ("linux.rootfsPropagation", "rshared", ("propagation", "")),
        ("linux.seccomp", {"defaultAction": "X", "listenerPath": "/s"}, ("fields", "linux.seccomp.listenerPath")),
        ("linux.timeOffsets", {"boottime": {}}, ("fields", "linux.timeOffsets")),
        ("linux.netDevices", {"eth0": {}}, ("fields", "linux.netDevices")),
        ("process.capabilities.ambient", ["CAP_SYS_ADMIN"], ("capabilities", "CAP_SYS_ADMIN")),
        ("process.capabilities.bounding", ["cap_sys_admin"], ("capabilities", "cap_sys_admin")),
        ("process.capabilities", None, ("capabilities", "ALL")),
        ("process.capabilities", [], ("capabilities", "ALL")),
        ("process.noNewPrivileges", False, ("new_privileges", "")),
        ("process.noNewPrivileges", 1, ("new_privileges", "")),
        ("process.apparmorProfile", "unconfined", ("unconfined", "apparmor")),
        ("process.selinuxLabel", "system_u:system_r:spc_t:s0", ("unconfined", "selinux")),
        ("process.oomScoreAdj", -999, ("oom_score", "")),
        ("process.ioPriority", {}, ("fields", "process.ioPriority")),
        ("process.user", "root", ("fields", "process.user")),
    ],
)
def test_what_goes_beyond_the_default_is_an_ask(path: str, value: Any, asked: tuple[str, str]) -> None:
    steps = path.split(".")
    spec = copy.deepcopy(DEFAULT)
    at: Any = spec
    for step in steps[:-1]:
        at = at[int(step) if isinstance(at, list) else step]
    if steps[-1] == "+":
        at.append(value)
    else:
        at[int(steps[-1]) if isinstance(at, list) else steps[-1]] = value
    assert asked in kinds(spec)


@pytest.mark.parametrize(
    "section", ["process", "process.capabilities", "process.noNewPrivileges", "linux", "linux.namespaces"]
)
def test_what_is_left_out_is_no_protection(section: str) -> None:
    assert kinds(without(section))


@pytest.mark.parametrize("source", ["/srv/../etc", "etc", "", "/srv/\0x", "..", "/srv/..//etc"])
def test_a_path_that_nobody_can_judge_is_allowed_by_no_rule(source: str) -> None:
    [ask] = [ask for ask in asks_of(changed("mounts.+", bind(source, "bind"))) if ask.kind == "host_mounts"]
    assert not ask.grantable
    everything = Permissions(privileged=True, host_mounts=[])
    assert not everything.allows(ask)


@pytest.mark.parametrize("path", ["/a/../../b", "../x", "system.slice:..:x"])
def test_a_control_group_outside_is_allowed_by_no_rule(path: str) -> None:
    [ask] = asks_of(changed("linux.cgroupsPath", path), cgroups_path=OWN)
    assert (ask.kind, ask.grantable) == ("cgroup_paths", False)


@pytest.mark.parametrize(
    ("options", "write"),
    [
        (("bind", "ro"), False),
        (("bind",), True),
        (("bind", "ro", "rw"), True),
        (("rbind", "ro"), True),
        (("rbind", "rro"), False),
    ],
)
def test_a_mount_is_read_only_where_all_of_it_is(options: tuple[str, ...], *, write: bool) -> None:
    [ask] = asks_of(changed("mounts.+", bind("/srv", *options)), cgroups_path=OWN)
    assert ask.write is write


def test_what_is_asked_gives_no_value_away_that_may_be_secret() -> None:
    secret = "canary-of-8a1f"
    spec = changed("annotations", {"key": secret})
    spec["vault"] = {"token": secret}
    spec["linux"]["token"] = secret
    spec["linux"]["sysctl"] = {"kernel.x": secret}
    spec["process"] |= {"env": [f"TOKEN={secret}", {"x": secret}], "args": [secret], "password": secret}
    assert asks_of(spec)
    assert secret not in str(asks_of(spec))


def test_a_spec_that_asks_without_end_is_not_read_to_its_end() -> None:
    spec = changed("annotations", {f"a{number}": "" for number in range(100_000)})
    found = asks_of(spec)
    assert len(found) == MOST_ASKS + 1
    assert not found[-1].grantable


def test_a_runtime_and_its_options_are_asked_for() -> None:
    assert asks_of_runtime("io.containerd.runc.v2", {"binary_name": "", "systemd_cgroup": False}) == ()
    found = asks_of_runtime("/usr/bin/shim", {"binary_name": "/tmp/x", "systemd_cgroup": True})
    assert [(ask.kind, ask.value) for ask in found] == [
        ("runtimes", "/usr/bin/shim"),
        ("runtime_options", "binary_name"),
        ("runtime_options", "systemd_cgroup"),
    ]


ROOT = {**DEFAULT["process"], "user": {"uid": 0}}
OTHER = {**DEFAULT["process"], "user": {"uid": 1000}}


@pytest.mark.parametrize(
    ("process", "own", "asked"), [(ROOT, ROOT, False), (ROOT, OTHER, True), (ROOT, None, True), (OTHER, OTHER, False)]
)
def test_becoming_root_in_a_container_that_is_not_is_an_ask(process: Any, own: Any, *, asked: bool) -> None:
    assert ("root_user" in [ask.kind for ask in asks_of_process(process, own=own)]) is asked


def test_the_devices_of_a_privileged_container_are_one_ask_however_many_they_are() -> None:
    every = changed("linux.resources.devices", [{"allow": True, "access": "rwm"}])
    every["linux"]["devices"] = [{"path": f"/dev/d{n}", "type": "c", "major": 4, "minor": n} for n in range(1000)]
    asks = asks_of(every, cgroups_path="/default/web.1")
    assert {(ask.kind, ask.value) for ask in asks} == {("devices", "* *:*")}
    assert all(Permissions(privileged=True).allows(ask) for ask in asks)
    every["linux"]["devices"].append({"path": "/dev/x", "type": "c", "major": "x", "minor": 1, "more": 1})
    asks = asks_of(every, cgroups_path="/default/web.1")
    assert {ask.kind for ask in asks if not (ask.grantable and ask.value == "* *:*")} == {"devices", "fields"}


MIGHTY = {
    **DEFAULT["process"],
    "noNewPrivileges": False,
    "apparmorProfile": "unconfined",
    "selinuxLabel": "spc_t",
    "oomScoreAdj": -999,
    "ioPriority": {"class": "IOPRIO_CLASS_RT"},
    "capabilities": {"bounding": ["CAP_SYS_ADMIN", "CAP_KILL"], "effective": ["CAP_KILL"]},
}


def test_what_its_container_has_already_is_no_ask_of_an_exec() -> None:
    like_dockerd = {key: value for key, value in DEFAULT["process"].items() if key != "noNewPrivileges"}
    assert asks_of_process({**like_dockerd, "args": ["id"], "terminal": True}, own=like_dockerd) == ()
    for own in (MIGHTY, {**DEFAULT["process"], "capabilities": None}):
        # To run in what is mightier than usual is to have that might: a rule for what is there already allows it.
        asks = asks_of_process({**own, "args": ["id"], "terminal": True}, own=own)
        assert {ask.kind for ask in asks} <= {"capabilities", "unconfined"}
        assert asks
        assert all(Permissions(existing=True).allows(ask) and not Permissions().allows(ask) for ask in asks)
    kinds = {ask.kind for ask in asks_of_process(MIGHTY, own=DEFAULT["process"])}
    assert kinds == {"capabilities", "new_privileges", "unconfined", "oom_score", "fields"}


@pytest.mark.parametrize(
    ("path", "value", "kind"),
    [
        ("capabilities", {"effective": ["CAP_SYS_ADMIN"]}, "capabilities"),  # which it has in its bounding set alone
        ("capabilities", {"bounding": ["CAP_BPF"]}, "capabilities"),
        ("capabilities", None, "capabilities"),
        ("selinuxLabel", "other_t", "unconfined"),
        ("oomScoreAdj", -1000, "oom_score"),
        ("ioPriority", {"class": "IOPRIO_CLASS_BE"}, "fields"),
        ("scheduler", {}, "fields"),
    ],
)
def test_what_goes_beyond_its_container_is_one_still(path: str, value: Any, kind: str) -> None:
    asks = asks_of_process({**MIGHTY, path: value}, own=MIGHTY)
    assert [ask.kind for ask in asks if not ask.inherited] == [kind]
    assert not Permissions(existing=True).allows(asks[0])


# -- whatever it is

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=12,
)
PLACES = sorted(
    {"process", "process.user", "process.capabilities", "process.capabilities.effective", "root", "root.path", "mounts"}
    | {"mounts.0", "mounts.0.options", "mounts.0.source", "linux", "linux.namespaces", "linux.namespaces.0", "hooks"}
    | {"linux.devices", "linux.resources", "linux.resources.devices", "linux.resources.devices.1", "linux.sysctl"}
    | {"linux.cgroupsPath", "annotations", "linux.seccomp", "linux.maskedPaths", "process.oomScoreAdj", "new"}
)


@given(spec=JSON)
def test_any_value_has_an_answer(spec: Any) -> None:
    assert all(ask.text for ask in asks_of(spec))
    assert all(ask.text for ask in asks_of_process(spec, own=spec))
    assert asks_of_runtime("", spec) is not None
    assert asks_of(spec) != ()  # nothing that is no spec asks for nothing


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(place=st.sampled_from(PLACES), value=JSON)
def test_a_spec_with_anything_anywhere_has_an_answer(place: str, value: Any) -> None:
    spec = copy.deepcopy(DEFAULT)
    at: Any = spec
    *steps, last = place.split(".")
    for step in steps:
        at = at[int(step) if isinstance(at, list) else step]
    at[int(last) if isinstance(at, list) else last] = value
    for ask in asks_of(spec):
        assert ask.text.isprintable()
        assert len(ask.text) < 600


def test_a_spec_of_any_depth_has_an_answer() -> None:
    deep: Any = []
    for _ in range(100_000):
        deep = [deep]
    assert asks_of({"hooks": deep, "linux": deep, "x": deep})
