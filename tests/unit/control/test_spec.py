"""A container's spec: who its process is, what it runs, and what the options change; the rest is in tests/integration."""

from __future__ import annotations

import contextlib
import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.control.spec.default import default_spec
from bridge.control.spec.image import apply_image, environment, image_config, image_labels
from bridge.control.spec.options import apply_options
from bridge.control.spec.whole import check_whole
from bridge.errors import CommandFailed
from bridge.model.commands import Create, MountOption
from bridge.model.confinement import CAPABILITIES, EVERY_CAPABILITY
from bridge.model.users import process_user
from bridge.ports import HostDevice, Privileges

PASSWD = b"root:x:0:0::/:\n# no user\nann:x:1000:1001::/:\nbad:x:one:1::/:\nhuge:x:99999999999:1::/:\n\xff:x:5:5::/:\n"
GROUP = b"root:x:0:\nanns:x:1001:ann\nstaff:x:50:root,ann\nstaff2:x:51:annette\nshort:x\n"


NULL = HostDevice(path="/dev/null", type="c", major=1, minor=3, mode=0o666, uid=0, gid=5)
OF_ROOT = Privileges(EVERY_CAPABILITY, (NULL,))


def spec(**options: Any) -> dict[str, Any]:
    command = Create(image="i", **options)
    made = default_spec("default", "web.1")
    apply_image(made, image_config("i", {"config": {"Cmd": ["sh"]}}), command)
    apply_options(made, command, OF_ROOT)
    return made


# -- users


@pytest.mark.parametrize(
    ("wanted", "uid", "gid", "more"),
    [
        ("", 0, 0, [0, 50]),
        ("root", 0, 0, [0, 50]),
        ("ann", 1000, 1001, [1001, 50]),
        ("1000", 1000, 1001, [1001, 50]),
        ("77", 77, 0, [0]),
        ("77:88", 77, 88, [88]),
        ("ann:staff", 1000, 50, [1001, 50]),
    ],
)
def test_users_are_found_by_name_and_number(wanted: str, uid: int, gid: int, more: list[int]) -> None:
    found = process_user(wanted, PASSWD, GROUP)
    assert found == {"uid": uid, "gid": gid, "additionalGids": found["additionalGids"]}
    assert set(found["additionalGids"]) == {gid, *more}


def test_a_group_of_ones_own_choice_can_stand_alone() -> None:
    assert process_user("ann:staff", PASSWD, GROUP, alone=True)["additionalGids"] == [50]


@pytest.mark.parametrize(
    "wanted", ["nobody", "ann:none", "2147483648", "0:99999999999", "bad", "huge", "ann ", "\uff11"]
)
def test_who_is_not_there_is_told(wanted: str) -> None:
    with pytest.raises(CommandFailed) as failed:
        process_user(wanted, PASSWD, GROUP)
    assert failed.value.code == "invalid_argument"


def test_an_image_without_lists_has_numbers_only() -> None:
    assert process_user("5:6", None, None) == {"uid": 5, "gid": 6, "additionalGids": [6]}
    assert process_user("", None, None) == {"uid": 0, "gid": 0, "additionalGids": [0]}
    with pytest.raises(CommandFailed, match="there is no user 'ann'"):
        process_user("ann", None, None)


@given(st.binary(max_size=300), st.binary(max_size=300), st.text(max_size=10))
def test_nothing_in_these_lists_does_harm(passwd: bytes, group: bytes, wanted: str) -> None:
    with contextlib.suppress(CommandFailed):
        found = process_user(wanted, passwd, group)
        assert all(0 <= each < 2**31 for each in (found["uid"], found["gid"], *found["additionalGids"]))


# -- what is run


@pytest.mark.parametrize(
    ("config", "options", "expected"),
    [
        ({"Cmd": ["sh"]}, {}, ["sh"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {}, ["e", "c"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {"command": ["x", "y"]}, ["e", "x", "y"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {"entrypoint": ["f"]}, ["f"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {"entrypoint": ["f"], "command": ["x"]}, ["f", "x"]),
        ({"Entrypoint": ["e"], "Cmd": ["c"]}, {"command": []}, ["e"]),
        ({"Cmd": None}, {"command": ["x"]}, ["x"]),
    ],
)
def test_arguments(config: dict[str, Any], options: dict[str, Any], expected: list[str]) -> None:
    made = default_spec("default", "web.1")
    apply_image(made, image_config("i", {"config": config}), Create(image="i", **options))
    assert made["process"]["args"] == expected


@pytest.mark.parametrize("options", [{}, {"command": []}, {"command": [""]}])
def test_nothing_to_run_is_told(options: dict[str, Any]) -> None:
    with pytest.raises(CommandFailed, match="image i names nothing to run"):
        apply_image(default_spec("d", "w"), image_config("i", {"config": None}), Create(image="i", **options))


def test_variables_are_laid_over_those_of_the_image() -> None:
    assert environment(["A=1", "B=2"], ["A=x=y", "C="], tty=False) == ["A=x=y", "B=2", "C="]
    assert environment(["A=1", "B=2"], ["A"], tty=False) == ["B=2"]
    assert environment(["A=1"], [], tty=True) == ["A=1", "TERM=xterm"]
    assert environment(["TERM=dumb"], [], tty=True) == ["TERM=dumb"]
    assert environment(["A=1"], ["TERM=vt100"], tty=True) == ["A=1", "TERM=vt100"]


def test_an_image_sets_no_label_that_means_something() -> None:
    labels = {
        "a": "b",
        "containerd.io/x": "1",
        "io.cri-containerd.y": "1",
        "com.docker/engine.bundle.path": "/x",
        "nerdctl/state-dir": "/x",
        "containerd-bridge/remove": "true",
        "l": "x" * 5000,
    }
    config = image_config("i", {"config": {"Labels": labels, "StopSignal": "SIGQUIT"}})
    assert image_labels(config) == {"a": "b", "io.containerd.image.config.stop-signal": "SIGQUIT"}


@pytest.mark.parametrize("config", [{"Env": "A=1"}, {"Cmd": [1]}, {"User": 5}, {"Labels": []}, []])
def test_a_configuration_that_is_none_is_told(config: Any) -> None:
    with pytest.raises(CommandFailed, match="the configuration of image i is not valid") as failed:
        image_config("i", {"config": config or [1]})
    assert failed.value.code == "failed_precondition"


# -- options


def test_a_network_of_another_container_is_joined_by_its_path() -> None:
    namespaces = spec(network="ns:/run/netns/a")["linux"]["namespaces"]
    assert {"type": "network", "path": "/run/netns/a"} in namespaces
    assert "network" not in [one["type"] for one in spec(network="host")["linux"]["namespaces"]]
    assert {"type": "network"} in spec()["linux"]["namespaces"]


def test_mounts_are_bound_recursively_and_tmpfs_keeps_no_devices() -> None:
    made = spec(
        mounts=[
            MountOption(source="/a", target="/b"),
            MountOption(source="/a", target="/b", options=["bind", "ro"]),
            MountOption(type="tmpfs", target="/c", options=["size=1m"]),
        ]
    )["mounts"][-3:]
    assert [mount["options"] for mount in made] == [["rbind"], ["bind", "ro"], ["nosuid", "nodev", "size=1m"]]
    assert [mount["source"] for mount in made] == ["/a", "/a", "tmpfs"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"mounts": [MountOption(source="a", target="/b")]}, "absolute path of the host"),
        ({"mounts": [MountOption(source="", target="/b")]}, "absolute path of the host"),
        ({"mounts": [MountOption(type="tmpfs", source="/a", target="/b")]}, "a tmpfs has no source"),
        ({"cap_add": ["NOPE"]}, "capability 'NOPE' does not exist"),
    ],
)
def test_what_cannot_be_is_told(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandFailed, match=sentence) as failed:
        spec(**options)
    assert failed.value.code == "invalid_argument"


def test_capabilities_come_and_go() -> None:
    assert spec()["process"]["capabilities"]["bounding"] == list(CAPABILITIES)
    changed = spec(cap_add=["net_admin"], cap_drop=["CAP_CHOWN"])["process"]["capabilities"]["effective"]
    assert set(changed) == {*CAPABILITIES, "CAP_NET_ADMIN"} - {"CAP_CHOWN"}
    assert spec(cap_drop=["ALL"])["process"]["capabilities"]["permitted"] == []
    assert spec(cap_drop=["ALL"], cap_add=["KILL"])["process"]["capabilities"]["permitted"] == ["CAP_KILL"]
    assert set(spec(cap_add=["ALL"])["process"]["capabilities"]["bounding"]) == set(EVERY_CAPABILITY)
    all_but_one = spec(cap_add=["ALL"], cap_drop=["SYS_ADMIN"])["process"]["capabilities"]
    assert all(set(names) == set(EVERY_CAPABILITY) - {"CAP_SYS_ADMIN"} for names in all_but_one.values())


def test_privileged_takes_away_what_keeps_it_from_the_host() -> None:
    made = spec(privileged=True)
    assert set(made["process"]["capabilities"]["bounding"]) == set(EVERY_CAPABILITY)
    assert (made["linux"]["maskedPaths"], made["linux"]["readonlyPaths"]) == ([], [])
    assert made["linux"]["resources"]["devices"] == [{"allow": True, "access": "rwm"}]
    assert made["linux"]["devices"] == [
        {"path": "/dev/null", "type": "c", "major": 1, "minor": 3, "fileMode": 0o666, "uid": 0, "gid": 5}
    ]
    assert "devices" not in spec()["linux"]
    assert "ro" not in next(mount for mount in made["mounts"] if mount["type"] == "sysfs")["options"]
    assert "inheritable" not in made["process"]["capabilities"]


def test_two_specs_share_nothing() -> None:
    before = copy.deepcopy(default_spec("default", "web.1"))
    spec(privileged=True, cap_add=["ALL"], mounts=[MountOption(source="/a", target="/b")])
    assert default_spec("default", "web.1") == before


# -- a whole one

WHOLE: dict[str, Any] = {
    "ociVersion": "1.0.2",
    "process": {"args": ["sh"], "cwd": "/"},
    "root": {"path": "rootfs"},
    "linux": {"unknown": [1]},
}


def test_a_whole_spec_is_taken_as_it_is() -> None:
    assert check_whole(Create(image="i", spec=WHOLE)) == WHOLE
    assert check_whole(Create(spec=WHOLE | {"root": {"path": "/srv"}}))["root"] == {"path": "/srv"}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"ociVersion": "2.0"}, "ociVersion"),
        ({"process": None}, "process"),
        ({"process": {"args": [], "cwd": "/"}}, "process.args"),
        ({"process": {"args": ["a"], "cwd": "x"}}, "process.cwd"),
        ({"root": {}}, "root"),
        ({"root": {"path": "/srv"}}, "with an image it has to be 'rootfs'"),
        ({"mounts": [{"destination": "x"}]}, "mounts"),
        ({"linux": []}, "linux"),
        ({"annotations": {"a": 1}}, "annotations"),
        ({"more": "x" * 600_000}, "bytes long, 524288 at most"),
    ],
)
def test_what_has_not_the_shape_of_a_spec_is_told(change: dict[str, Any], sentence: str) -> None:
    with pytest.raises(CommandFailed, match=sentence) as failed:
        check_whole(Create(image="i", spec=WHOLE | change))
    assert failed.value.code == "invalid_argument"


def test_a_spec_without_image_names_its_root() -> None:
    with pytest.raises(CommandFailed, match="give an absolute directory of the host, or an image"):
        check_whole(Create(spec=WHOLE))


def test_options_beside_a_whole_spec_are_told_by_name() -> None:
    with pytest.raises(CommandFailed, match="leave command, privileged out, or the spec"):
        check_whole(Create(image="i", spec=WHOLE, command=["a"], privileged=True))
