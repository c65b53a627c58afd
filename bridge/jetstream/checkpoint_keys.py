"""The file with the keys of checkpoints: what is new is encrypted with the first, and what is there is read with any of them.

A line for each key, 64 hex digits, and behind a `#` whatever helps to tell them apart; or 32 bytes and nothing else, for one key.
So a key is changed in two steps, and nobody meets an archive that he cannot read meanwhile: the new one is put behind the others
in everybody's file, and once all have it, it is moved to the first line.

Nobody but its owner may read the file. A new one is never written over another, which may hold the only copy of a key.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

from bridge.errors import ConfigError
from bridge.jetstream.checkpoint_cipher import CheckpointSecret

__all__ = ["add_key", "make_keys", "read_keys"]

LARGEST: Final = 16 << 10
BYTES: Final = 32
_LINE: Final = re.compile(rb"([0-9A-Fa-f]{64})[ \t]*(?:#.*)?")


def read_keys(path: Path) -> list[CheckpointSecret]:
    """Return the keys in a file, at least one.

    Raises:
        ConfigError: it cannot be read, holds no keys, or others may read it.
    """
    try:
        with path.open("rb") as file:
            mode, content = os.fstat(file.fileno()).st_mode, file.read(LARGEST + 1)
    except OSError as error:
        raise ConfigError(f"cannot read the key of checkpoints {path}: {error.strerror}") from error
    if not stat.S_ISREG(mode):
        raise ConfigError(f"the key of checkpoints {path} is no file")
    if mode & 0o077:
        raise ConfigError(
            f"the key of checkpoints {path} is open to others ({stat.S_IMODE(mode):04o}): chmod 600 {path}"
        )
    if len(content) == BYTES:
        return [CheckpointSecret.of(content)]
    lines = [line.strip() for line in content.splitlines()]
    found = [_LINE.fullmatch(line) for line in lines if line and not line.startswith(b"#")]
    keys = [CheckpointSecret.of(bytes.fromhex(one[1].decode())) for one in found if one is not None]
    if len(content) > LARGEST or not keys or len(keys) < len(found):
        raise ConfigError(
            f"the key of checkpoints {path} is no key: 32 random bytes or lines of 64 hex digits, "
            "`containerd-bridge checkpoint keygen` makes one"
        )
    return keys


def make_keys(path: Path) -> CheckpointSecret:
    """Make a file with a new key; return that.

    Raises:
        ConfigError: it is there already, or cannot be written.
    """
    key = _new()
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise ConfigError(
            f"{path} is there already, and may hold the only copy of a key: take another name, or put one more in it with --add"
        ) from error
    except OSError as error:
        raise ConfigError(f"cannot make the key of checkpoints {path}: {error.strerror}") from error
    try:
        _write(descriptor, _line(key))
    except OSError as error:
        with suppress(OSError):
            path.unlink()
        raise ConfigError(f"cannot write the key of checkpoints {path}: {error.strerror}") from error
    return key


def add_key(path: Path) -> CheckpointSecret:
    """Put a new key behind those in a file; return that. It is read with from now on, and not written with.

    Raises:
        ConfigError: there are none, or it cannot be written.
    """
    read_keys(path)
    key = _new()
    try:
        with path.open("rb") as file:
            content = file.read()
        if len(content) == BYTES:
            raise ConfigError(
                f"the key of checkpoints {path} is 32 bytes, with no room for another: write it as 64 hex digits first"
            )
        descriptor = os.open(path, os.O_WRONLY | os.O_APPEND)
        try:
            _write(descriptor, (b"" if content.endswith(b"\n") else b"\n") + _line(key))
        except OSError:
            with suppress(OSError):
                os.truncate(path, len(content))  # half a key would make a file of none
            raise
    except OSError as error:
        raise ConfigError(f"cannot write the key of checkpoints {path}: {error.strerror}") from error
    return key


def _new() -> CheckpointSecret:
    return CheckpointSecret.of(secrets.token_bytes(BYTES))


def _line(key: CheckpointSecret) -> bytes:
    return f"{key.key.hex()} # {key.fingerprint}\n".encode()


def _write(descriptor: int, data: bytes) -> None:
    with os.fdopen(descriptor, "wb", buffering=0) as file:
        file.write(data)
        os.fsync(file.fileno())
