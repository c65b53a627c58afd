"""What stands under a key, as opposed to what happened: the state of containers, and which bridge a node has."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import NoReturn, Protocol

from msgspec import Struct

from bridge.errors import LogConflict
from bridge.model.nanos import Nanos
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import ContainerKey

__all__ = ["Change", "NodeLease", "NodeRecords", "StateEntry", "StateStore"]


class Change(Struct, frozen=True, kw_only=True, gc=False):
    """What is to stand under a container's key; None takes the key away.

    `revision` is the one that the key has to stand at for it, 0 where nothing may stand there; None for whatever it is.
    """

    key: ContainerKey
    value: bytes | None
    revision: int | None = None


class StateEntry(Struct, frozen=True, kw_only=True):
    """What stands under a container's key. `value` is None where the key was taken away; a later revision is larger."""

    key: ContainerKey
    value: bytes | None
    revision: int
    stored_at: Nanos


class StateStore(Protocol):
    """The state of every container: one value for each, the latest."""

    @property
    def session(self) -> object:
        """Stands for the store as it was written last, None without a connection. Compare two of them with `==`.

        Another one than before means that the store may have been put back to an older copy, or made anew, meanwhile.
        """
        ...

    async def write(self, changes: Sequence[Change]) -> Sequence[int | None]:
        """Make all these changes; return the revision of each, None where the key stands at another one than it has to.

        So nobody who writes meanwhile is overwritten. Keys that were taken away count as nothing.

        Changes of one key are made in their order, those of different keys side by side. After an error some are made, of
        each key the first ones; making the same changes again sets that right, where they demand no revision. Keys that are
        taken away leave the mark that every KV client knows.

        Raises:
            LogUnavailable: unknown which are stored; or the right to write has run out, and may be renewed.
            LogRefused: the store answered and refuses; the sentence says why.
            LogConflict: somebody else has the right to write.
        """
        ...

    async def ensure(self) -> None:
        """Make the store anew if it is gone for good: not at once, since it may come back.

        Raises:
            LogUnavailable: the store does not answer.
            LogRefused: it is gone, and not for long enough; or it may not be made.
        """
        ...

    async def read(self, *, node: str | None = None, namespace: str | None = None) -> Sequence[StateEntry]:
        """Return everything that stands there now, of one node or namespace if given; never an entry without value.

        Raises:
            LogUnavailable: the store does not answer.
            LogRefused: there is no such store, or reading is not allowed.
        """
        ...

    def follow(self, *, node: str | None = None, namespace: str | None = None) -> AsyncIterator[StateEntry | None]:
        """Iterate over everything that stands there now, then None once, then over what changes, without a hole.

        It goes on through reconnects until the iterator is closed. Of changes that follow each other quickly, or that were
        made meanwhile, only the last of each key may be seen; that one always is, also where a key is gone without a mark
        (then with the time at which that was found out). What is written during the listing may come behind the None.

        Raises:
            LogUnavailable: the store does not answer (at the beginning only).
            LogRefused: there is no such store, or reading is not allowed.
        """
        ...


class NodeLease(Protocol):
    """The right to write as a node: whoever holds it is the only one, as far as clocks can promise that.

    A renewal holds for the record's `lease_s`. The holder counts from before it asked for it and stops a tenth earlier; whoever
    waits for its end counts from after it has seen it, with its own clock. So no two of them hold it at one time, unless a
    clock that counts seconds stands still (a virtual machine that is suspended): against that the log has its fence.
    """

    @property
    def held(self) -> bool:
        """Whether we may write now."""
        ...

    @property
    def lost(self) -> LogConflict | None:
        """Why we shall never write again: somebody else holds it. None while that has not happened."""
        ...

    async def acquire(self) -> None:
        """Take the lease: at once where nobody has it, or where its holder has provably ended, else when it has lapsed.

        Waits for that no longer than the holder's `lease_s`, and no longer than until the holder renews.

        Raises:
            ConfigError: another bridge holds it; the sentence names it and says what to do.
            LogUnavailable: the store does not answer.
            LogRefused: there is no such store, or it may not be used.
        """
        ...

    async def keep(self) -> NoReturn:
        """Renew it for ever; while the store does not answer it lapses, and is renewed afterwards if nobody else took it.

        Raises:
            LogConflict: somebody else has it; the sentence names who.
            LogRefused: the store itself is gone.
        """
        ...

    async def renew(self) -> None:
        """Renew it now.

        Raises:
            LogConflict: somebody else has it.
            LogUnavailable: the store does not answer; it is open whether it was renewed.
            LogRefused: the store is gone, or may not be used.
        """
        ...

    async def release(self) -> None:
        """Give it back, so that the next one need not wait; does nothing where it is not ours any more. Never raises."""
        ...


class NodeRecords(Protocol):
    """Which nodes there are, whether they take commands or not."""

    async def records(self) -> Sequence[NodeRecord]:
        """Return the records of all nodes whose bridge runs, or ended without a stop, sorted by name.

        Raises:
            LogUnavailable: the store does not answer.
            LogRefused: reading is not allowed.
        """
        ...
