"""The records of all nodes, as the bucket of nodes has them."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from bridge.errors import BadEnvelope
from bridge.jetstream.buckets import bucket_stream
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.keys import Key, keys_in
from bridge.jetstream.streams import NO_STREAM
from bridge.model.codec import decode_as
from bridge.model.nodes import NodeRecord
from bridge.model.subjects import Subjects

__all__ = ["JetStreamNodes"]

log = logging.getLogger(__name__)

ABREAST: Final = 32
"""Records that are asked for at the same time."""


class JetStreamNodes:
    """Implements `bridge.ports.NodeRecords`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._bucket = subjects.node_bucket

    async def records(self) -> list[NodeRecord]:
        """Return the records of all nodes, none where no bridge has made the bucket yet; see `NodeRecords`.

        Raises:
            LogUnavailable: the bucket does not answer.
            LogRefused: reading it is not allowed.
        """
        with log_errors(bucket_stream(self._bucket)):
            try:
                keys = sorted(await keys_in(self._connection, self._bucket))
            except ApiError as error:
                if error.err_code != NO_STREAM:
                    raise
                keys = []
        found: list[NodeRecord | None] = []
        for start in range(0, len(keys), ABREAST):
            found += await asyncio.gather(*[self._record(key) for key in keys[start : start + ABREAST]])
        return sorted((record for record in found if record), key=lambda record: record.node)

    async def _record(self, key: str) -> NodeRecord | None:
        standing = await Key(self._connection, self._bucket, key).get()
        if standing is None or standing.value is None:
            return None
        try:
            return decode_as(standing.value, NodeRecord)
        except BadEnvelope as error:
            log.warning("skipping the record under %s: %s", key, error)
            return None
