"""The node's policy file: read at the start, and again on SIGHUP and when it changes.

New rules take effect whole or not at all: a file that is not understood leaves the old rules in force, and the log file and
the metrics say so until it is mended. Commands that were judged by the old rules while they waited are judged once more in their
turn, by the new ones.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Final, NoReturn

from bridge.control.policy import Policy
from bridge.errors import ConfigError
from bridge.policy import NO_RULES, RuleBook, read_policy

__all__ = ["PolicyFile"]

log = logging.getLogger(__name__)

LOOK_S: Final = 2.0
"""Seconds between two looks at the file."""


class PolicyFile:
    """Keeps the rules of a `Policy` those of a file. Without a path there are none, and nothing to keep."""

    def __init__(self, path: Path | None, *, knows_who: bool = False, look_s: float = LOOK_S) -> None:
        """Take the file.

        Args:
            path: where it is.
            knows_who: whether the node can tell who asks; rules about users make no sense without.
            look_s: seconds between two looks at it.
        """
        self._path = path
        self._knows_who = knows_who
        self._look_s = look_s
        self._seen: tuple[int, ...] | None = None
        self._wanted = asyncio.Event()
        self.refused: str | None = None
        """Why the file as it is now is not in force; None when it is."""
        self.loaded = 0
        """Times that rules were taken from it."""

    def read(self) -> RuleBook:
        """Return the rules of now.

        Raises:
            ConfigError: they are not understood.
        """
        if self._path is None:
            return NO_RULES
        self._seen = self._mark()
        book = read_policy(self._path)
        if book.asks_who and not self._knows_who:
            raise ConfigError(
                f"{self._path}: a rule names users, and this node cannot tell who asks: leave users out, or have NATS tell it "
                "(docs/security.md) and give --request-info"
            )
        self.loaded += 1
        return book

    def ask(self) -> None:
        """Have the file read again soon, changed or not."""
        self._wanted.set()

    async def run(self, policy: Policy, *, changed: Callable[[], None] = lambda: None) -> NoReturn:
        """Keep `policy` up to date for ever; call `changed` after each time that the file was looked into."""
        while True:
            try:
                async with asyncio.timeout(self._look_s):
                    await self._wanted.wait()
            except TimeoutError:
                if self._path is None or await asyncio.to_thread(self._mark) == self._seen:
                    continue
            self._wanted.clear()
            await self._refresh(policy)
            changed()

    async def _refresh(self, policy: Policy) -> None:
        if self._path is None:
            log.info("there is no policy to read again: none is set")
            return
        try:
            policy.book = await asyncio.to_thread(self.read)
        except ConfigError as error:
            self.refused = str(error)
            log.error("the policy stays as it was, since its file is not understood: %s", error)
            return
        self.refused = None
        log.info("the policy %s is in force: %d rules", self._path, len(policy.book.rules))

    def _mark(self) -> tuple[int, ...] | None:
        """Return what changes with the file; None where there is none."""
        assert self._path is not None
        try:
            found = self._path.stat()
        except (OSError, ValueError):
            return None
        return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_mode
