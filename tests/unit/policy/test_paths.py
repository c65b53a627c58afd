"""What is judged is what is mounted: links are followed once, and what leads elsewhere later is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.containerd.paths import HostPaths, followed
from bridge.policy import HostMount, Permissions, anchored, asks_of, moved
from tests.unit.policy.specs import DEFAULT, changed

OWN = "/default/web.1"


def binding(source: str, **more: Any) -> dict[str, Any]:
    return changed("mounts.+", {"destination": "/x", "type": "bind", "source": source, "options": ["bind"], **more})


def test_a_bind_names_what_its_links_lead_to() -> None:
    links = {"/srv/www": "/data/www", "/images/web": "/data/web"}
    spec = binding("/srv/www") | {"root": {"path": "/images/web", "readonly": True}}
    found = anchored(spec, lambda path: links.get(path, path))
    assert found["mounts"][-1] == {**spec["mounts"][-1], "source": "/data/www"}
    assert found["root"] == {"path": "/data/web", "readonly": True}
    assert found["mounts"][:-1] == DEFAULT["mounts"]
    assert spec["mounts"][-1]["source"] == "/srv/www"


@pytest.mark.parametrize(
    "source", ["/etc/resolv.conf", "/srv/../etc", "srv", "/proc/self/root", "/proc/1/cwd/x", "/srv/\0"]
)
def test_what_no_rule_is_about_is_left_as_it_stands(source: str) -> None:
    assert anchored(binding(source), lambda _: "/elsewhere") == binding(source)


def test_a_link_that_came_later_is_allowed_by_nothing() -> None:
    [ask] = moved(binding("/srv/www"), {"/srv/www": "/etc"}.get)  # type: ignore[arg-type]
    assert str(ask) == "names '/srv/www' of the host, which leads to '/etc' now"
    everything = Permissions(privileged=True, existing=True, host_mounts=[HostMount(source="/", write=True)])
    assert not everything.allows(ask)
    assert not everything.allows(ask, existing=True)
    assert moved(binding("/srv//www/."), lambda path: "/srv/www" if "srv" in path else path) == ()


@pytest.mark.parametrize("path", ["/proc/self/root", "/proc/1/root/etc", "/proc/thread-self/cwd", "/proc//17/fd/3"])
def test_what_a_process_sees_is_allowed_by_no_rule(path: str) -> None:
    [ask] = asks_of(binding(path), cgroups_path=OWN)
    assert not ask.grantable
    assert not Permissions(host_mounts=[HostMount(source=path, write=True)]).allows(ask)


@pytest.mark.parametrize(
    "path",
    [
        *("/proc/sys", "/proc/sysrq-trigger", "/sys/fs/cgroup", "/dev/sda", "/dev/shm"),
        *("/run/containerd/io.containerd.runtime.v2.task/default/web.1/rootfs", "/run/k3s/containerd/containerd.sock"),
        "/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/1/fs",
    ],
)
def test_what_makes_root_is_allowed_by_its_own_entry_alone(path: str) -> None:
    [ask] = asks_of(binding(path), cgroups_path=OWN)
    assert not Permissions(host_mounts=[HostMount(source="/", write=True)]).allows(ask)
    assert Permissions(host_mounts=[HostMount(source=path, write=True)]).allows(ask)


# -- following


def test_links_are_followed_below_a_root_and_not_out_of_it(tmp_path: Path) -> None:
    (tmp_path / "data/www").mkdir(parents=True)
    (tmp_path / "srv").symlink_to("/data")
    (tmp_path / "up").symlink_to("../../../../../data/./www")
    (tmp_path / "data/back").symlink_to("../srv/www")
    (tmp_path / "loop").symlink_to("/loop")
    root = str(tmp_path)
    assert followed(root, "/srv/www") == "/data/www"
    assert followed(root, "/up/../back/x") == "/data/www/x"
    assert followed(root, "/srv/none/x") == "/data/none/x"
    assert followed(root, "/loop/x") == "/loop/x"
    assert followed(root, "/") == "/"


@given(path=st.text(alphabet="/.ab\0", max_size=30).map(lambda text: "/" + text))
def test_any_path_leads_somewhere(path: str) -> None:
    found = followed("", path)
    assert found.startswith("/")
    assert ".." not in found.split("/") or "\0" in path


def test_without_containerd_the_own_file_system_has_to_do(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert HostPaths(tmp_path / "none.sock")(str(tmp_path / "link")) == str((tmp_path / "real").resolve())
