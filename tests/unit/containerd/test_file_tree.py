"""Looking into an image's file tree: what overlayfs would show, and never anything outside of it."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from bridge._pb.containerd.types_pb2 import Mount
from bridge.containerd.file_tree import FileTree, containerd_root, read_mounted
from bridge.errors import CommandFailed

SECRET = b"of the host"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root makes whiteouts: run this as root")


@contextmanager
def tree(*directories: Path) -> Iterator[FileTree]:
    with ExitStack() as opened:
        descriptors = []
        for directory in directories:
            descriptors.append(os.open(directory, os.O_PATH | os.O_DIRECTORY))
            opened.callback(os.close, descriptors[-1])
        yield FileTree(descriptors)


def read(path: str, *directories: Path, most: int = 1000) -> bytes | None:
    with tree(*directories) as found:
        return found.read(path, most=most)


@pytest.fixture
def layers(tmp_path: Path) -> list[Path]:
    """Two layers, the upper one first, and a file of the host beside them."""
    (tmp_path / "secret").write_bytes(SECRET)
    for name in ("upper", "lower"):
        (tmp_path / name / "etc").mkdir(parents=True)
    (tmp_path / "lower/etc/passwd").write_bytes(b"lower")
    (tmp_path / "lower/etc/group").write_bytes(b"group")
    (tmp_path / "upper/etc/passwd").write_bytes(b"upper")
    return [tmp_path / "upper", tmp_path / "lower"]


def test_the_upper_layer_covers_the_lower_one(layers: list[Path]) -> None:
    assert read("/etc/passwd", *layers) == b"upper"
    assert read("/etc/group", *layers) == b"group"
    assert read("/etc/none", *layers) is None
    assert read("/etc", *layers) is None
    assert read("/etc/passwd/more", *layers) is None


@ROOT
def test_what_is_whited_out_is_gone(layers: list[Path]) -> None:
    os.mknod(layers[0] / "etc/group", 0o600 | 0o020000, os.makedev(0, 0))
    assert read("/etc/group", *layers) is None


@ROOT
def test_an_opaque_directory_hides_what_is_below(layers: list[Path]) -> None:
    os.setxattr(layers[0] / "etc", "trusted.overlay.opaque", b"y")
    assert read("/etc/group", *layers) is None
    assert read("/etc/passwd", *layers) == b"upper"


def test_a_file_in_place_of_a_directory_hides_it(layers: list[Path]) -> None:
    (layers[0] / "etc/passwd").unlink()
    (layers[0] / "etc").rmdir()
    (layers[0] / "etc").write_bytes(b"no directory")
    assert read("/etc/passwd", *layers) is None


@pytest.mark.parametrize(
    "target",
    [
        "/secret",
        "../../secret",
        "../../../../../../../../secret",
        "/../secret",
        "/proc/self/root/secret",
        "loop",
        "/etc/loop",
    ],
)
def test_a_link_never_leads_out(layers: list[Path], target: str) -> None:
    (layers[0] / "etc/passwd").unlink()
    (layers[0] / "etc/passwd").symlink_to(target)
    (layers[0] / "etc/loop").symlink_to("loop")
    assert read("/etc/passwd", *layers) is None


def test_a_link_to_the_hosts_own_path_stays_inside(layers: list[Path]) -> None:
    secret = layers[0].parent / "secret"
    (layers[0] / "etc/passwd").unlink()
    (layers[0] / "etc/passwd").symlink_to(secret)
    assert read("/etc/passwd", *layers) is None


def test_links_lead_through_the_layers(layers: list[Path]) -> None:
    (layers[1] / "usr").mkdir()
    (layers[1] / "usr/etc").symlink_to("/etc")
    (layers[0] / "etc/group").symlink_to("/usr/../usr/./etc/passwd")
    assert read("/etc/group", *layers) == b"upper"


def test_what_is_no_file_is_not_opened(layers: list[Path]) -> None:
    (layers[0] / "etc/passwd").unlink()
    os.mkfifo(layers[0] / "etc/passwd")  # opening it would wait for a writer
    assert read("/etc/passwd", *layers) is None


def overlay(layers: Sequence[Path]) -> list[Mount]:
    upper, *lower = layers
    names = ":".join(str(each).replace(":", "\\:") for each in lower)
    return [Mount(type="overlay", source="overlay", options=["workdir=/w", f"upperdir={upper}", f"lowerdir={names}"])]


def test_an_overlay_is_read_without_being_mounted(layers: list[Path], tmp_path: Path) -> None:
    strange = tmp_path / "a:b"
    layers[1].rename(strange)
    assert read_mounted("/", overlay([layers[0], strange]), "/etc/group", most=100) == b"group"


def test_a_bind_mount_is_read(layers: list[Path]) -> None:
    mounts = [Mount(type="bind", source=str(layers[1]), options=["ro", "rbind"])]
    assert read_mounted("/", mounts, "/etc/passwd", most=100) == b"lower"


def test_another_root_is_taken_for_the_root(layers: list[Path], tmp_path: Path) -> None:
    mounts = [Mount(type="bind", source="/lower")]
    assert read_mounted(str(tmp_path), mounts, "/etc/passwd", most=100) == b"lower"


@pytest.mark.parametrize(
    ("mounts", "most", "sentence"),
    [
        ([Mount(type="erofs", source="/dev/loop0")], 100, "mounts erofs, which cannot be looked into"),
        ([], 100, "mounts nothing"),
        ([Mount(type="bind", source="/not/there")], 100, "the bridge does not see the directories of its snapshot"),
    ],
)
def test_what_cannot_be_looked_into_is_told(mounts: list[Mount], most: int, sentence: str) -> None:
    with pytest.raises(CommandFailed, match=sentence) as failed:
        read_mounted("/", mounts, "/etc/passwd", most=most)
    assert failed.value.code == "failed_precondition"


def test_a_file_that_is_too_long_is_told(layers: list[Path]) -> None:
    with pytest.raises(CommandFailed, match="/etc/passwd of the image is longer than 4 bytes"):
        read_mounted("/", overlay(layers), "/etc/passwd", most=4)


def test_the_root_is_that_of_who_listens(tmp_path: Path) -> None:
    path = tmp_path / "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        assert containerd_root(path) == f"/proc/{os.getpid()}/root"
    assert containerd_root(tmp_path / "none") == "/"
