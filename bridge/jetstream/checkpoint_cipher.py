"""Archives that nobody reads who has not the key: what is stored of one is cut into segments, each sealed by itself.

The construction is STREAM (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-Encryption and its Nonce-Reuse
Misuse-Resistance, 2015) over XChaCha20-Poly1305 of libsodium: the nonce is a prefix of 19 random bytes, the segment's number and
whether it is the last. So what is left out, put elsewhere, or cut off at the end does not open. The name of the object goes into
the key, so neither does a segment of another one.

Whoever stores something takes a prefix that nobody had before, also when he goes on with what somebody else began: each segment
says its own. So no nonce meets two texts, whatever an upload that is repeated is given to read. The prefixes of before serve to
make the same bytes again that are stored already, to compare them, and those bytes go nowhere.

    segment = magic (8) | fingerprint of the key (16) | length of a segment (4) | prefix (19) | sealed bytes and tag
"""

from __future__ import annotations

import hashlib
import struct
from typing import Final, NamedTuple

from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

from bridge.errors import CommandFailed

__all__ = ["OVERHEAD", "PREFIX", "CheckpointSecret", "Sealing"]

MAGIC: Final = b"cbckpt1\n"
PREFIX: Final = 19
TAG: Final = 16
_HEAD: Final = struct.Struct(">8s16sI")
OVERHEAD: Final = _HEAD.size + PREFIX + TAG
"""Bytes of a segment that are not the archive's."""

MOST_SEGMENTS: Final = 1 << 32


class CheckpointSecret(NamedTuple):
    """The key of archives, and what it is called in records, which tells nothing of it."""

    key: bytes
    fingerprint: str

    @classmethod
    def of(cls, key: bytes) -> CheckpointSecret:
        """Take 32 random bytes."""
        assert len(key) == 32
        return cls(key, hashlib.blake2b(key=key, person=b"cb-fingerprint", digest_size=16).hexdigest())

    def __repr__(self) -> str:
        return f"CheckpointSecret({self.fingerprint})"


class Sealing:
    """Seals and opens the segments of one object."""

    def __init__(self, secret: CheckpointSecret, name: str, length: int) -> None:
        """Take the key, the object's name, and the length that every segment but the last has."""
        self.length: Final = length
        self.fingerprint: Final = secret.fingerprint
        self._head = _HEAD.pack(MAGIC, bytes.fromhex(secret.fingerprint), length)
        self._name = name.encode()
        digest = hashlib.blake2b(self._name, key=secret.key, person=b"cb-archive", digest_size=32)
        self._key = digest.digest()

    @property
    def room(self) -> int:
        """Bytes of the archive in one segment."""
        return self.length - OVERHEAD

    def seal(self, data: bytes, *, prefix: bytes, number: int, last: bool) -> bytes:
        """Return the segment with this number, counted from 0."""
        aad, nonce = self._bound(prefix, number, last=last)
        sealed = crypto_aead_xchacha20poly1305_ietf_encrypt(data, aad, nonce, self._key)
        return b"".join((self._head, prefix, sealed))

    def open(self, segment: bytes, *, number: int, last: bool) -> bytes:
        """Return what a segment holds.

        Raises:
            CommandFailed: it is not what was sealed here; nothing of it is told.
        """
        head, prefix, sealed = segment[: _HEAD.size], segment[_HEAD.size : OVERHEAD - TAG], segment[OVERHEAD - TAG :]
        aad, nonce = self._bound(prefix, number, last=last)
        try:
            if head != self._head or len(sealed) < TAG:
                raise CryptoError
            return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, self._key)
        except (CryptoError, ValueError, TypeError) as error:
            raise CommandFailed(
                "failed_precondition", "the archive is not what was encrypted: damaged, cut off, or another one's"
            ) from error

    def _bound(self, prefix: bytes, number: int, *, last: bool) -> tuple[bytes, bytes]:
        assert 0 <= number < MOST_SEGMENTS
        return self._head + self._name, prefix + number.to_bytes(4, "big") + bytes([last])
