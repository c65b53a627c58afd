"""How a bridge asks another one to do its part of a migration: the command `receive`, which only bridges may send."""

from __future__ import annotations

import asyncio
from typing import Any, Final, Literal

from bridge.errors import CODES, BadEnvelope, CommandFailed
from bridge.model.codec import decode_as, encode_any
from bridge.model.commands import Receive
from bridge.model.events import Failure
from bridge.model.identity import new_ulid
from bridge.model.migrations import MigrationKey
from bridge.model.outcomes import Outcome, Received
from bridge.model.subjects import Subjects
from bridge.ports import CommandSender

__all__ = ["Asking"]

TIMEOUTS_S: Final = {"reserve": 60.0, "prepare": 3600.0, "restore": 3600.0, "abandon": 30.0}
"""How long an answer is waited for. Nothing is decided by that: what takes longer is only not heard of."""


LOOK_S: Final = 10.0
"""Between two looks whether the node that is asked is still there."""

PATIENCE_S: Final = 2.0


class Asking:
    """Asks one node about one migration."""

    def __init__(self, sender: CommandSender, subjects: Subjects, key: MigrationKey, target: str) -> None:
        """Take what carries it there, and whom to ask about what."""
        self._sender = sender
        self._subject = subjects.command(target, key.namespace, key.container, Receive.verb)
        self._key = key
        self._target = target

    async def __call__(self, stage: Literal["reserve", "prepare", "restore", "abandon"], **options: Any) -> Received:
        """Ask, and return the answer.

        Raises:
            CommandFailed: it was not done, or no answer came.
        """
        body = {
            "id": new_ulid(),
            "migration": self._key.migration,
            "source": self._key.source,
            "stage": stage,
            **options,
        }
        try:
            outcome = await self._answer(encode_any(body), TIMEOUTS_S[stage])
        except CommandFailed as error:
            raise CommandFailed(error.code, f"node {self._target} was asked to {stage} it: {error.message}") from error
        if outcome.outcome != "ok":
            failure = outcome.error or Failure(code="unknown", message=f"{stage} ended as {outcome.outcome}")
            code = next((code for code in CODES if code == failure.code), "unknown")
            raise CommandFailed(
                code,  # type: ignore[arg-type]
                f"node {self._target}: {failure.message}",
                containerd=failure.containerd,
            )
        try:
            return decode_as(encode_any(outcome.result), Received)
        except BadEnvelope as error:
            raise CommandFailed("internal", f"node {self._target} gave no answer to {stage}: {error}") from error

    async def _answer(self, body: bytes, timeout: float) -> Outcome:
        """Return the answer. A node that is not there any more gives none, and it is not waited for until the time is over."""
        asked = asyncio.ensure_future(self._sender.send(self._subject, body, timeout=timeout))
        missing = 0
        try:
            while not (await asyncio.wait({asked}, timeout=LOOK_S))[0]:
                present = {node.node for node in await self._sender.nodes(wait=PATIENCE_S)}
                missing = 0 if self._target in present else missing + 1
                if missing > 1:
                    raise CommandFailed("unavailable", f"node {self._target} does not answer any more")
            return asked.result()
        finally:
            asked.cancel()
            await asyncio.gather(asked, return_exceptions=True)
