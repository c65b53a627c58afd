"""The records of all nodes, as the bucket of nodes has them."""

from __future__ import annotations

import logging
from contextlib import aclosing

from bridge.errors import BadEnvelope, LogUnavailable
from bridge.jetstream.buckets import bucket_stream, key_subject
from bridge.jetstream.connection import Connection
from bridge.jetstream.consumer import Consumer, Doubt
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.keys import is_mark
from bridge.jetstream.streams import NO_STREAM
from bridge.model.codec import decode_as
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import Subjects

__all__ = ["JetStreamNodes"]

log = logging.getLogger(__name__)


class JetStreamNodes:
    """Implements `bridge.ports.NodeRecords`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._stream = bucket_stream(subjects.node_bucket)
        self._filter = key_subject(subjects.node_bucket, ">")

    async def records(self) -> list[NodeRecord]:
        """Return the records of all nodes, none where no bridge has made the bucket yet; see `NodeRecords`.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: reading it is not allowed.
        """
        found: list[NodeRecord] = []
        with log_errors(self._stream):
            consumer = Consumer(self._connection, self._stream, self._connection.link)
            try:
                left = await consumer.open({"deliver_policy": "last_per_subject", "filter_subject": self._filter})
                if left:
                    async with aclosing(consumer.messages(wait=False)) as messages:
                        async for message, place in messages:
                            if not any(is_mark(name, value) for name, value in (message.headers or {}).items()):
                                found += _read(message.data)
                            if place.pending == 0:
                                break
            except ApiError as error:
                if error.err_code != NO_STREAM:
                    raise
            except Doubt as doubt:
                raise LogUnavailable(f"stream {self._stream} cannot be read at present: {doubt}") from doubt
            finally:
                await consumer.close()
        return sorted(found, key=lambda record: record.node)


def _read(body: bytes) -> list[NodeRecord]:
    try:
        return [decode_as(body, NodeRecord)]
    except BadEnvelope as error:
        log.warning("skipping the record of a node: %s", error)
        return []
