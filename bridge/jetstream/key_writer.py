"""Writing many keys of a bucket side by side, with one message in flight for each, where they stand at the revisions expected.

Writing is `Lanes` with a lane for each key, so it is as quick as appending on older servers is, and an answer that does not
come ends it with `LogUnavailable` instead of leaving a value behind unseen. Every write has a message id, but a repeated one has
another: what is written again stands there again.

A key that stands at another revision than expected is no failure: its change is not made, which is told, and the others are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import CONFLICT
from bridge.jetstream.keys import EXPECTED, OPERATION, Key
from bridge.jetstream.lanes import Lanes
from bridge.jetstream.publisher import Append, Guard, Reply
from bridge.model.identity import new_ulid
from bridge.ports import Entry

__all__ = ["KeyWriter", "Put"]

Put = tuple[str, bytes | None, int | None]
"""A key, its new value (None takes it away), and the revision that it has to stand at; 0 for none, None for whatever."""


class _Message(Entry, frozen=True, kw_only=True, array_like=True, gc=False):
    """A change as a message."""

    removed: bool = False
    revision: int | None = None


class KeyWriter(Lanes):
    """Lanes whose entries are values of keys."""

    def __init__(self, connection: Connection, bucket: str, guard: Guard | None = None) -> None:
        """Take where to.

        Args:
            connection: where the bucket is.
            bucket: its name.
            guard: asked before every write to the socket whether it may be made.
        """
        super().__init__(connection, bucket_stream(bucket), guard=guard)
        self._bucket: Final = bucket
        self._made: dict[str, int] = {}
        """Message id -> revision, of the changes under way that are made."""

    async def write(self, puts: Sequence[Put]) -> list[int | None]:
        """Make all these changes; return the revision of each, None where its key stands at another one than it has to.

        Raises:
            LogUnavailable: unknown which are stored, or the guard has something against it.
            LogRefused: the bucket refuses; the sentence says why.
            LogConflict: the guard says never again.
        """
        made = await self._write(puts)
        again = [index for index, revision in enumerate(made) if revision is None and puts[index][2] == 0]
        if again:  # where a key was taken away a mark stands, with a revision of its own
            marked = []
            for index in again:
                key, value, _ = puts[index]
                standing = await Key(self.connection, self._bucket, key).get()
                if standing is None or standing.value is None:
                    marked.append((index, (key, value, 0 if standing is None else standing.revision)))
            for (index, _), revision in zip(marked, await self._write([put for _, put in marked]), strict=True):
                made[index] = revision
        return made

    async def _write(self, puts: Sequence[Put]) -> list[int | None]:
        messages = [
            _Message(
                n=number,
                id=new_ulid(),
                subject=self.connection.written + key_subject(self._bucket, key),
                body=value or b"",
                removed=value is None,
                revision=revision,
            )
            for number, (key, value, revision) in enumerate(puts, 1)
        ]
        try:
            await self.append(messages)
        finally:
            made = [self._made.pop(message.id, None) for message in messages]
        return made

    # -- Lanes

    def _lane(self, entry: Entry) -> str:
        return entry.subject

    def _header(self, entry: Entry) -> str:
        assert isinstance(entry, _Message)
        removal = f"{OPERATION}: DEL\r\n" if entry.removed else ""
        expected = "" if entry.revision is None else f"{EXPECTED}: {entry.revision}\r\n"
        return f"NATS/1.0\r\nNats-Msg-Id: {entry.id}\r\n{removal}{expected}\r\n"

    def _on_reply(self, append: Append, subject: str, reply: Reply) -> None:
        stands_elsewhere = reply.error is not None and reply.error.get("err_code") in CONFLICT
        if reply.stream == self.stream and (stands_elsewhere or reply.error is None):
            index = int(subject.rpartition(".")[2])
            if reply.error is None:
                self._made[append.entries[index].id] = reply.seq
            self._acknowledge(append, index)
        else:
            super()._on_reply(append, subject, reply)

    def _named(self) -> str:
        return f"bucket {self._bucket}"
