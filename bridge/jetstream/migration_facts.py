"""Looking at the register of migrations: what is under way, and what somebody had nats-server store there."""

from __future__ import annotations

from contextlib import aclosing

from msgspec.structs import replace

from bridge.errors import BadEnvelope, LogError
from bridge.jetstream.api import api
from bridge.jetstream.buckets import bucket_stream, key_subject, weaknesses
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import ApiError, log_errors
from bridge.jetstream.stored import each_of, is_written
from bridge.jetstream.streams import NO_STREAM
from bridge.model.codec import decode_as
from bridge.model.migrations import Migration
from bridge.model.nanos import Nanos, parse_rfc3339
from bridge.model.subjects import Subjects
from bridge.ports.inspection import MigrationFacts, RegisterFacts

__all__ = ["register_facts"]


async def register_facts(connection: Connection, subjects: Subjects) -> RegisterFacts:
    """Return what there is of it."""
    bucket = subjects.migration_bucket
    name = bucket_stream(bucket)
    try:
        with log_errors(name):
            try:
                info = await api(connection, f"STREAM.INFO.{name}")
            except ApiError as error:
                if error.err_code == NO_STREAM:
                    return RegisterFacts(name=name, absent=True)
                raise
            # Servers before 2.10 do not tell the time: then it is at least that of their last message.
            moment = info.get("ts") or info["state"]["last_ts"]
            found = await _found(connection, bucket, parse_rfc3339(moment)) if info["state"]["messages"] else []
    except LogError as error:
        return RegisterFacts(name=name, unknown=str(error))
    return RegisterFacts(name=name, faults=weaknesses(info["config"], bucket, replicas=1, kept=True), found=found)


async def _found(connection: Connection, bucket: str, moment: Nanos) -> list[MigrationFacts]:
    found: dict[str, MigrationFacts] = {}
    prefix, stream = len(key_subject(bucket, "")), bucket_stream(bucket)
    async with aclosing(each_of(connection, stream, key_subject(bucket, ">"))) as messages:
        async for message, place in messages:
            key = message.subject[prefix:]
            if not is_written(message.headers, stream):
                before = found.get(key, MigrationFacts(key=key))
                found[key] = replace(before, foreign=before.foreign + 1)
                continue
            try:
                entry = decode_as(message.data, Migration)
            except BadEnvelope:
                entry = None
            age_s = max(0.0, (moment - place.stored_at) / 1e9)
            found[key] = MigrationFacts(key=key, entry=entry, age_s=age_s)
    return list(found.values())
