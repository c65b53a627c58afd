"""Keys for checkpoints: made for the file that every bridge and every reader of encrypted archives has (`checkpoint_key`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bridge.client.finding import Finding
from bridge.jetstream.checkpoint_keys import add_key, make_keys, read_keys
from bridge.model.checkpoints import CheckpointRecord

__all__ = ["findings_of_keys", "fingerprints", "key_added", "key_made"]


def key_made(file: Path) -> str:
    """Make a file with a new key that only its owner can read; return the key's fingerprint.

    Raises:
        ConfigError: it is there already, or cannot be written.
    """
    return make_keys(file).fingerprint


def key_added(file: Path) -> str:
    """Put a new key behind those in a file, with which is read and not written; return its fingerprint.

    Raises:
        ConfigError: there are none, or it cannot be written.
    """
    return add_key(file).fingerprint


def fingerprints(file: Path) -> list[str]:
    """Return the fingerprints of the keys in a file.

    Raises:
        ConfigError: it cannot be read, holds no keys, or others may read it.
    """
    return [key.fingerprint for key in read_keys(file)]


def findings_of_keys(records: Sequence[CheckpointRecord], here: Sequence[str]) -> Iterator[Finding]:
    """Iterate over what there is to say of encrypted archives, where the keys with these fingerprints are here."""
    used = Counter(record.archive.key for record in records if record.archive.key)
    for key in sorted(used.keys() - set(here)):
        yield Finding(
            # Who has no keys at all may not be meant to have them.
            level="warn" if here else "ok",
            area="checkpoints",
            message=f"{used[key]} archives are encrypted with the key {key}, which is not here",
            remedy="put it into the file of checkpoint_key, if they are to be read from here" if here else "",
            trouble="key-missing" if here else "",
        )
    if used.keys() & set(here):
        count = sum(used[key] for key in used if key in here)
        yield Finding(
            level="ok", area="checkpoints", message=f"{count} encrypted archives can be read with the keys here"
        )
