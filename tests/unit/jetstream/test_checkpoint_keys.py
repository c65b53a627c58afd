"""The file with the keys of checkpoints: made for its owner alone, never written over, read whole or refused."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

import pytest

from bridge.errors import ConfigError
from bridge.jetstream import checkpoint_keys
from bridge.jetstream.checkpoint_cipher import CheckpointSecret
from bridge.jetstream.checkpoint_keys import add_key, make_keys, read_keys

KEY, OTHER = bytes(range(32)), bytes(32)
SECRET, OTHERS = CheckpointSecret.of(KEY), CheckpointSecret.of(OTHER)
LINE, OTHER_LINE = KEY.hex().encode(), OTHER.hex().encode()


def written(path: Path, content: bytes, mode: int = 0o600) -> Path:
    path.write_bytes(content)
    path.chmod(mode)
    return path


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        (KEY, [SECRET]),
        (LINE, [SECRET]),
        (LINE.upper() + b"\n", [SECRET]),
        (LINE + b" # new\n\n# the old one\n  " + OTHER_LINE + b"#x\r\n", [SECRET, OTHERS]),
        (OTHER_LINE + b"\n" + LINE, [OTHERS, SECRET]),
    ],
)
def test_a_key_is_bytes_or_a_line(tmp_path: Path, content: bytes, keys: list[CheckpointSecret]) -> None:
    assert read_keys(written(tmp_path / "key", content)) == keys
    assert KEY.hex() not in repr(keys)


@pytest.mark.parametrize(
    "content",
    [b"", b"x" * 31, b"x" * 33, b"g" * 64, b"0" * 63, b"#\n", LINE + b"\nx", LINE + b" x", LINE + b"\n" * 16_384],
)
def test_what_is_no_key_is_refused(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match="is no key: 32 random bytes or lines of 64 hex digits"):
        read_keys(written(tmp_path / "key", content))


def test_a_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    for mode in (0o640, 0o604, 0o620):
        with pytest.raises(ConfigError, match=r"is open to others .*: chmod 600"):
            read_keys(written(tmp_path / "key", OTHER, mode))
    with pytest.raises(ConfigError, match="No such file"):
        read_keys(tmp_path / "missing")
    with pytest.raises(ConfigError, match=r"is no file|Is a directory"):
        read_keys(tmp_path)


def test_a_new_key_is_its_owners_alone_and_takes_nobodys_place(tmp_path: Path) -> None:
    path = tmp_path / "key"
    made = make_keys(path)
    assert (read_keys(path), stat.S_IMODE(path.stat().st_mode)) == ([made], 0o600)
    before = path.read_bytes()
    with pytest.raises(ConfigError, match="is there already, and may hold the only copy of a key"):
        make_keys(path)
    assert path.read_bytes() == before
    with pytest.raises(ConfigError, match="cannot make the key of checkpoints"):
        make_keys(tmp_path / "nowhere" / "key")


def test_one_more_key_is_behind_the_others(tmp_path: Path) -> None:
    path = written(tmp_path / "key", LINE)
    first = add_key(path)
    second = add_key(path)
    assert read_keys(path) == [SECRET, first, second]
    lines = path.read_text().splitlines()
    assert [line.rpartition("# ")[2] for line in lines[1:]] == [first.fingerprint, second.fingerprint]
    path.write_text("\n".join([lines[2], *lines[:2]]))  # how the new one comes to be the first
    assert read_keys(path)[0] == second
    with pytest.raises(ConfigError, match="32 bytes, with no room for another"):
        add_key(written(tmp_path / "bytes", KEY))
    with pytest.raises(ConfigError, match="No such file"):
        add_key(tmp_path / "missing")


def test_a_disk_that_takes_half_a_key_leaves_the_file_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = written(tmp_path / "key", LINE)

    def half(descriptor: int, data: bytes) -> None:
        os.write(descriptor, data[:20])
        os.close(descriptor)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(checkpoint_keys, "_write", half)
    with pytest.raises(ConfigError, match="No space left on device"):
        add_key(path)
    assert path.read_bytes() == LINE
