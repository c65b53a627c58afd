"""The witness: a second subscription to containerd, which knows nothing of the bridge: `ctr events`, in one or more spells."""

from __future__ import annotations

import contextlib
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from typing import Final

from tests.faults.history import Seen, Watch
from tests.fix_bridge import WITHIN_S, WORDS
from tests.testbed import Ctr
from tests.testbed.ctr import Events, SeenEvent

IDENTIFIER: Final = re.compile(r"(?=.{1,76}\Z)[A-Za-z0-9]+(?:[._-][A-Za-z0-9]+)*")
"""What containerd takes as a container's id."""


class Witness:
    """Watches from `begin` to `end`, any number of times; what it saw is in `watches`."""

    def __init__(self, ctr: Ctr) -> None:
        self.watches: list[Watch] = []
        self._ctr = ctr
        self._events: Events | None = None
        self._closing = ExitStack()
        self._since = 0

    def begin(self) -> None:
        """Subscribe; return when the subscription is live."""
        assert self._events is None, "it watches already"
        self._events = self._closing.enter_context(self._ctr.events())
        self._since = time.time_ns()

    def until(self, container: str, status: int) -> None:
        """Wait until it has seen this exit."""
        assert self._events is not None

        def wanted(event: SeenEvent) -> bool:
            data = event.data
            return (data.get("container_id"), data.get("exit_status", 0)) == (container, status)

        self._events.until(wanted, timeout=WITHIN_S)

    def until_ended(self, process: str) -> None:
        """Wait until it has seen the end of this process."""
        assert self._events is not None
        self._events.until(
            lambda event: event.topic == "/tasks/exit" and event.data.get("id") == process, timeout=WITHIN_S
        )

    def end(self, *, complete: bool) -> None:
        """Stop watching; `complete` when everything that was sent so far has been seen."""
        events, self._events = self._events, None
        if events is None:
            return
        until = time.time_ns()
        self._closing.close()
        with contextlib.suppress(TimeoutError):  # it has been read to its end by now
            events.until(lambda _: False, timeout=WITHIN_S)
        self.watches.append(Watch(since=self._since, until=until, complete=complete, seen=list(_seen(events.seen))))


def _seen(events: Iterable[SeenEvent]) -> Iterator[Seen]:
    for event in events:
        word = WORDS.get(event.topic)
        if word is None:
            continue
        data = event.data
        container = data.get("container_id") or data.get("id")
        if not container or IDENTIFIER.fullmatch(container) is None:
            continue  # that is no event of a container
        if word == "exit" and data.get("id") != container:
            word = "exec-exit"
        yield Seen(
            namespace=event.namespace,
            container=container,
            word=word,
            time=event.time_ns,
            seen=event.seen_ns,
            pid=data.get("pid"),
            exit_status=data.get("exit_status", 0) if word in {"exit", "exec-exit"} else None,
            process=data.get("exec_id") or (data.get("id") if word in {"exit", "exec-exit"} else None),
        )
