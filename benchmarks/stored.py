"""What a run has left in the stream, compared with what was streamed: every event, in order, once.

The stream is read from its first message to its end, whatever the run itself says about its success. A message is held
against what was streamed (`benchmarks.streamed`) by its subject and by the number in it, and nothing else is believed.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from benchmarks.streamed import Streamed

__all__ = ["Comparison", "stored_messages"]

BATCH: Final = 1000
"""Messages asked for at once."""


class Comparison:
    """Takes messages in the stream's order, then says what was wrong with them."""

    def __init__(self, streamed: Streamed, *, cloudevents: bool) -> None:
        """Take what was streamed.

        Args:
            streamed: every event that has to be there.
            cloudevents: whether the bridge published: then ids, sequences and positions have to be right as well.
        """
        self._streamed = streamed
        self._seen = bytearray(len(streamed))
        self._newest: dict[str, int] = {}
        self._cloudevents = cloudevents
        self._position = 0
        self._wrong: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def take(self, subject: str, body: bytes, message_id: str | None) -> None:
        """Take one message."""
        event = json.loads(body)
        if self._cloudevents:
            self._placed(subject, event, message_id)
        match subject.split("."):
            case [_, "events", _, namespace, container, word]:
                self._happened(subject, namespace, container, word, event)
            case [_, "nodes", _, _] if self._cloudevents:
                pass  # the bridge's own
            case _:
                self._complain("under subjects that nothing was published on", subject)

    def complaints(self) -> list[str]:
        """Return what was wrong, one sentence each; nothing where all is right."""
        missing = self._seen.count(0)
        if missing:
            self._wrong["missing"] = missing
            self._examples["missing"] = f"number {self._seen.index(0)}"
        return [
            f"{number} of {len(self._seen)} events {what}, such as {self._examples[what]}"
            for what, number in self._wrong.items()
        ]

    # -- inside

    def _happened(self, subject: str, namespace: str, container: str, word: str, event: dict[str, Any]) -> None:
        number = self._streamed.number(container, word, event)
        if number is None:
            self._complain("that were never streamed", f"{subject} of {event['time']}")
            return
        place = self._streamed.place(number)
        newest = self._newest.get(place.container, -1)
        if (namespace, container, word) != place[:3]:
            self._complain("under a wrong subject", f"number {number} under {subject}")
        if self._seen[number]:
            self._complain("more than once", f"number {number}")
        elif number < newest:
            self._complain("out of order", f"number {number} after {newest}")
        self._seen[number] = 1
        self._newest[place.container] = max(number, newest)
        if self._cloudevents and int(event["sequence"]) != place.sequence:
            self._complain("with a wrong sequence", f"number {number} with {event['sequence']}")

    def _placed(self, subject: str, event: dict[str, Any], message_id: str | None) -> None:
        if subject.startswith("containerd.nodes.") and subject.endswith(".lease"):
            return  # written past the outbox, so it has no place in its numbers
        position = int(event["position"].rpartition(":")[2])
        if position != self._position + 1:
            self._complain("with a wrong position", f"{subject} with {position} after {self._position}")
        self._position = position
        if event["id"] != message_id:
            self._complain("whose Nats-Msg-Id is not their id", f"{subject} with {event['id']} and {message_id}")

    def _complain(self, what: str, example: str) -> None:
        self._wrong[what] += 1
        self._examples.setdefault(what, example)


async def stored_messages(url: str, stream: str) -> AsyncIterator[Msg]:
    """Iterate over a stream from its beginning to what is its end now."""
    async with await nats.connect(url) as client:
        jetstream = client.jetstream()
        if not (await jetstream.stream_info(stream)).state.messages:
            return
        config = ConsumerConfig(ack_policy=AckPolicy.NONE, deliver_policy=DeliverPolicy.ALL)
        subscription = await jetstream.pull_subscribe("", stream=stream, config=config)
        pending = 1
        while pending:
            for message in await subscription.fetch(BATCH, timeout=30):
                yield message
                pending = message.metadata.num_pending
