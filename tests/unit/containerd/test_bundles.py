"""A bundle is removed when it is surely this container's, and nothing else ever is."""

import os
from pathlib import Path

import pytest

from bridge.containerd import bundles
from bridge.containerd.bundles import BUNDLE_LABEL, Bundles
from bridge.model.labels import COMMAND


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "bundles"
    root.mkdir()
    return root


def bundle(root: Path, name: str = "web.1") -> Path:
    path = root / name
    (path / "rootfs").mkdir(parents=True)
    (path / "config.json").write_text("{}")
    return path


def label(path: Path | str) -> dict[str, str]:
    return {BUNDLE_LABEL: str(path)}


@pytest.mark.parametrize("name", ["web.1", "web.1.100000.100000"])
def test_a_bundle_goes_with_everything_in_it(root: Path, name: str) -> None:
    other, path = bundle(root, "other"), bundle(root, name)
    assert Bundles(root).remove("moby", "web.1", label(path)) is None
    assert not path.exists()
    assert other.exists()


@pytest.mark.parametrize("namespace", ["default", "k8s.io", "moby-2"])
def test_a_namesake_in_another_namespace_takes_nothing_along(root: Path, namespace: str) -> None:
    path = bundle(root)
    left = Bundles(root).remove(namespace, "web.1", label(path))
    assert left == f"bundle {path} stays: dockerd has no containers in namespace {namespace}"
    assert path.exists()


def test_a_container_of_our_own_making_has_no_bundle_of_dockerds(root: Path) -> None:
    path = bundle(root)
    left = Bundles(root).remove("moby", "web.1", {**label(path), COMMAND: "c-1"})
    assert left == f"bundle {path} stays: the container was made by a command, and not by dockerd"
    assert path.exists()


def test_a_container_without_the_label_has_none(root: Path) -> None:
    path = bundle(root)
    assert Bundles(root).remove("moby", "web.1", {}) is None
    assert path.exists()


def test_one_that_is_gone_already_is_no_hindrance(root: Path) -> None:
    assert Bundles(root).remove("moby", "web.1", label(root / "web.1")) is None


def test_the_root_may_be_reached_by_a_link(root: Path, tmp_path: Path) -> None:
    path = bundle(root)
    (tmp_path / "link").symlink_to(root)
    assert Bundles(root).remove("moby", "web.1", label(tmp_path / "link" / "web.1")) is None
    assert not path.exists()


def test_without_a_root_nothing_is_removed(root: Path) -> None:
    path = bundle(root)
    assert Bundles(None).remove("moby", "web.1", label(path)) == f"bundle {path} stays: this node removes no bundles"
    assert path.exists()


def test_what_is_not_right_in_the_root_stays(root: Path, tmp_path: Path) -> None:
    outside, deeper = bundle(tmp_path / "elsewhere"), bundle(root / "deeper")
    for path in (outside, deeper):
        why = Bundles(root).remove("moby", "web.1", label(path))
        assert why == f"bundle {path} stays: it is not right in {root}"
        assert path.exists()


@pytest.mark.parametrize("name", ["other", "web", "web.10", "x.web.1", "web.1.5"])
def test_what_is_not_named_after_the_container_stays(root: Path, name: str) -> None:
    path = bundle(root, name)
    why = Bundles(root).remove("moby", "web.1", label(path))
    assert why == f"bundle {path} stays: it is not named after the container"
    assert path.exists()


@pytest.mark.parametrize("where", ["bundles/web.1", "{root}/x/../web.1", "", "/", "\0"])
def test_a_path_that_leads_elsewhere_is_not_followed(root: Path, where: str) -> None:
    path = bundle(root)
    Bundles(root).remove("moby", "web.1", label(where.format(root=root)))
    assert path.exists()


def test_a_link_in_its_place_is_not_followed(root: Path, tmp_path: Path) -> None:
    target = bundle(tmp_path / "precious")
    (root / "web.1").symlink_to(target)
    why = Bundles(root).remove("moby", "web.1", label(root / "web.1"))
    assert why == f"bundle {root / 'web.1'} stays: it is a symbolic link"
    assert (target / "config.json").exists()


def test_links_inside_are_removed_and_not_followed(root: Path, tmp_path: Path) -> None:
    precious = bundle(tmp_path / "precious")
    path = bundle(root)
    (path / "link").symlink_to(precious)
    assert Bundles(root).remove("moby", "web.1", label(path)) is None
    assert (precious / "config.json").exists()


def test_a_file_in_its_place_stays(root: Path) -> None:
    (root / "web.1").write_text("")
    assert (
        Bundles(root).remove("moby", "web.1", label(root / "web.1"))
        == f"bundle {root / 'web.1'} stays: it is no directory"
    )


@pytest.mark.parametrize("inside", ["", "/rootfs", "/a b"])
def test_what_has_something_mounted_in_it_stays(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inside: str
) -> None:
    path = bundle(root)
    shown = f"{path}{inside}".replace(" ", r"\040")
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"22 1 0:1 / {shown} rw - tmpfs tmpfs rw\n23 1 0:1 / {path}-other rw - tmpfs tmpfs rw\n")
    monkeypatch.setattr(bundles, "_MOUNTS", mounts)
    why = Bundles(root).remove("moby", "web.1", label(path))
    assert why == f"bundle {path} stays: something is mounted on {path}{inside}"
    assert path.exists()


def test_a_mount_beside_it_is_none_in_it(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle(root)
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"23 1 0:1 / {path}-other rw - tmpfs tmpfs rw\n")
    monkeypatch.setattr(bundles, "_MOUNTS", mounts)
    assert Bundles(root).remove("moby", "web.1", label(path)) is None


def test_what_cannot_be_removed_is_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = bundle(root)

    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refuse)
    why = Bundles(root).remove("moby", "web.1", label(path))
    assert why is not None
    assert "Permission denied" in why
    assert os.listdir(path)
