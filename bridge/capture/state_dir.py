"""The state directory: one process works in it at a time.

Two bridges on one outbox would give out the same positions twice.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from bridge.errors import ConfigError

__all__ = ["claimed", "holder"]


def holder(path: Path) -> str | None:
    """Return the process id of the bridge that works in the directory, as far as it said so; None where none does."""
    try:
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.read(descriptor, 32).decode("ascii", "replace").strip() or "?"
    except OSError:
        return None
    else:
        return None
    finally:
        os.close(descriptor)


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """Make the directory and keep it for this process alone.

    Raises:
        ConfigError: it cannot be made or written, or another bridge works in it.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"cannot use the state directory {path}: {error.strerror}; give another --state-dir"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        holder = os.read(descriptor, 32).decode("ascii", "replace").strip()
        os.close(descriptor)
        raise ConfigError(
            f"another containerd-bridge (pid {holder}) works in {path}: stop it, or give this one another --state-dir"
        ) from error
    except OSError as error:
        os.close(descriptor)
        raise ConfigError(
            f"cannot lock the state directory {path}: {error.strerror}; give another --state-dir"
        ) from error
    try:
        # Only for the other one's sentence: a full disk that does not take it is no reason to stop.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.write(descriptor, str(os.getpid()).encode())
        yield
    finally:
        os.close(descriptor)
