"""What happens on the bus, read once for all browsers: the states of containers, events as they come, how the nodes stand.

It reads while somebody looks, and for a while after. A tenth of a second's changes become one message, in which a container
stands once and of very many events the rest is only counted, so that what a browser has to take does not grow with what the bus
carries. What cannot be read at present is said in a sentence, and tried again.
"""

from __future__ import annotations

import asyncio
import logging
from bisect import insort
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

from bridge.client import Bus, ContainerState, LogError, StoredEvent, now
from bridge.model.node_events import NodeHeartbeat
from bridge.page.broadcast import Broadcast
from bridge.page.choice import of_containers, of_nodes
from bridge.page.nodes import KEPT, Gap, NodeRow, gap_of, node_rows
from bridge.page.rows import Row, key_of, milliseconds, row_of
from bridge.page.telling import Told, is_rehearsed, told

__all__ = ["Feed"]

log = logging.getLogger(__name__)

BATCH_S: Final = 0.1
SHOWN: Final = 60
"""Events of one message; more cannot be read anyway, and a container's own are all in its timeline."""

RECENT: Final = 200
"""Events that a browser finds when it comes."""

GONE: Final = 1_000
"""Containers whose record is deleted that are still shown; the oldest go."""

NODES_S: Final = 4.0
RETRY_S: Final = 2.0
LINGER_S: Final = 30.0
"""How long it reads on when nobody looks any more: a browser that reloads finds everything where it was."""


class Feed:
    """The one reading. `run` it as long as the page is there."""

    def __init__(self, bus: Bus, *, nodes: Sequence[str] = (), namespaces: Sequence[str] = ()) -> None:
        """Take the bus, and whose containers are shown: all unless some nodes or namespaces are named."""
        self._bus = bus
        self._chosen: Final[dict[str, Any]] = {"node": list(nodes), "namespace": list(namespaces)}
        self._of_containers: Final = of_containers(nodes, namespaces)
        self._of_nodes: Final = of_nodes(nodes, namespaces)
        self._viewers = 0
        self._arrivals = asyncio.Event()
        self._left = asyncio.Event()
        self._begin()

    @property
    def viewers(self) -> int:
        """How many browsers look at present."""
        return self._viewers

    @property
    def trouble(self) -> str | None:
        """Why something cannot be read at present."""
        return next(iter(self._troubles.values()), None)

    async def run(self) -> None:
        """Read while somebody looks, for ever."""
        while True:
            await self._arrivals.wait()
            reading = asyncio.create_task(self._read(), name="page's feed")
            try:
                await self._until_nobody_looks()
            finally:
                reading.cancel()
                await asyncio.wait((reading,))
                self._broadcast.end()
                self._begin()

    def end(self) -> None:
        """Let every browser's stream come to its end: the page is closed."""
        self._ready.set()
        self._broadcast.end()

    async def read(self, after: str | None = None) -> AsyncGenerator[bytes, None]:
        """Iterate over the stream of server-sent events for one browser; see `Broadcast.read`."""
        async with self._looking():
            broadcast = self._broadcast
            await self._ready.wait()
            async with aclosing(broadcast.read(after)) as frames:
                async for frame in frames:
                    yield frame

    def snapshot(self) -> dict[str, Any]:
        """Return everything that is known."""
        return {
            "at": milliseconds(now()),
            "rows": list(self._rows.values()),
            "events": list(self._recent),
            "nodes": self._nodes,
            "trouble": self.trouble,
        }

    # -- when to read

    @asynccontextmanager
    async def _looking(self) -> AsyncIterator[None]:
        self._viewers += 1
        self._arrivals.set()
        try:
            yield
        finally:
            self._viewers -= 1
            if not self._viewers:
                self._arrivals.clear()
                self._left.set()

    async def _until_nobody_looks(self) -> None:
        while True:
            await self._left.wait()
            self._left.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(LINGER_S):
                    await self._arrivals.wait()
            if not self._viewers:
                return

    def _begin(self) -> None:
        self._rows: dict[str, Row] = {}
        self._gone: dict[str, None] = {}
        self._recent: list[Told] = []
        self._upto: dict[str, int] = {}
        self._nodes: list[NodeRow] = []
        self._late: dict[str, int] = {}
        self._gaps: dict[str, deque[Gap]] = {}
        self._troubles: dict[str, str] = {}
        self._changed: dict[str, Row] = {}
        self._removed: set[str] = set()
        self._events: list[Told] = []
        self._unshown = 0
        self._news: dict[str, Any] = {}
        self._ready = asyncio.Event()
        self._broadcast = Broadcast(self.snapshot)

    # -- reading

    async def _read(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._again("states", self._follow_states))
            for what, chosen in self._of_containers.items():
                tasks.create_task(self._again(what, partial(self._follow_events, what, chosen)))
            for what, chosen in self._of_nodes.items():
                tasks.create_task(self._again(what, partial(self._follow_node_events, what, chosen)))
            tasks.create_task(self._again("nodes", self._look_at_nodes))
            tasks.create_task(self._send())

    async def _again(self, what: str, read: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await read()
            except LogError as error:
                self._trouble(what, str(error))
                self._ready.set()
            except Exception:
                log.exception("the page cannot follow %s", what)
                self._trouble(what, f"{what} cannot be followed: see the log of the page")
                self._ready.set()
            await asyncio.sleep(RETRY_S)

    async def _follow_states(self) -> None:
        found = {key_of(state.node, state.namespace, state.container) for state in await self._listed()}
        for key in self._rows.keys() - found:
            self._remove(key)
        self._trouble("states", None)
        self._ready.set()
        async with aclosing(self._bus.watch(**self._chosen)) as states:
            async for state in states:
                self._show(state)

    async def _listed(self) -> Sequence[ContainerState]:
        states = await self._bus.states(**self._chosen)
        for state in states:
            self._show(state)
        return states

    def _show(self, state: ContainerState) -> None:
        row = row_of(state)
        if self._rows.get(row.key) == row:
            return
        self._rows[row.key] = self._changed[row.key] = row
        self._removed.discard(row.key)
        self._gone.pop(row.key, None)
        if row.status == "gone":
            self._gone[row.key] = None
            if len(self._gone) > GONE:
                self._remove(next(iter(self._gone)))

    def _remove(self, key: str) -> None:
        self._rows.pop(key, None)
        self._changed.pop(key, None)
        self._gone.pop(key, None)
        self._removed.add(key)

    async def _follow_node_events(self, what: str, chosen: dict[str, Any]) -> None:
        await self._read_gaps(chosen["node"])
        await self._follow_events(what, chosen)

    async def _follow_events(self, what: str, chosen: dict[str, Any]) -> None:
        end = await self._bus.end()
        since = self._upto.get(what, max(0, end - RECENT)) + 1
        self._trouble(what, None)
        async with aclosing(self._bus.events(**chosen, since=since, follow=True)) as events:
            async for event in events:
                self._upto[what] = event.stream_sequence
                self._take(event)

    def _take(self, event: StoredEvent) -> None:
        self._measure(event)
        gap = gap_of(event)
        if gap is not None:
            self._keep_gap(event.node, gap)
        if is_rehearsed(event) or isinstance(event.data, NodeHeartbeat):
            return
        one = told(event)
        insort(self._recent, one, key=_number)  # of another reading a later one may have come before
        del self._recent[:-RECENT]
        if len(self._events) < SHOWN:
            self._events.append(one)
        else:
            self._unshown += 1

    async def _read_gaps(self, node: Sequence[str]) -> None:
        reading = self._bus.events(node=node, type="gap", since=1, follow=False)
        async with aclosing(reading) as events:
            async for event in events:
                gap = gap_of(event)
                if gap is not None:
                    self._keep_gap(event.node, gap)

    def _keep_gap(self, node: str, gap: Gap) -> None:
        kept = self._gaps.setdefault(node, deque(maxlen=KEPT))
        if not kept or kept[-1].n < gap.n:
            kept.append(gap)

    def _measure(self, event: StoredEvent) -> None:
        self._late[event.node] = max(0, (event.stored_at - event.recorded.recordedtime) // 1_000_000)

    async def _look_at_nodes(self) -> None:
        while True:
            nodes = await node_rows(self._bus, late=self._late, gaps=self._gaps, chosen=self._chosen["node"])
            self._trouble("nodes", None)
            if nodes != self._nodes:
                self._nodes = self._news["nodes"] = nodes
            await asyncio.sleep(NODES_S)

    def _trouble(self, what: str, sentence: str | None) -> None:
        before = self.trouble
        if sentence is None:
            self._troubles.pop(what, None)
        else:
            self._troubles[what] = sentence
        if self.trouble != before:
            self._news["trouble"] = self.trouble

    # -- telling

    async def _send(self) -> None:
        while True:
            await asyncio.sleep(BATCH_S)
            message = self._batch()
            if message:
                self._broadcast.tell({"at": milliseconds(now()), **message})

    def _batch(self) -> dict[str, Any]:
        parts = {
            "rows": list(self._changed.values()),
            "gone": sorted(self._removed),
            "events": sorted(self._events, key=_number),
            "unshown": self._unshown,
        }
        message = {name: part for name, part in parts.items() if part} | self._news
        self._changed, self._removed, self._events, self._unshown, self._news = {}, set(), [], 0, {}
        return message


def _number(one: Told) -> int:
    return one.n
