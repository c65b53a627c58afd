"""Looking at the bus: server, JetStream, the streams, the buckets, and what our login is permitted.

What a login may do is asked of the server (`$SYS.REQ.USER.INFO`, from nats-server 2.10 on) and compared with the subjects that
the client uses; trying a command out would leave its mark on a container.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import nats.errors

from bridge.errors import LogError
from bridge.jetstream.account import account_of, readers_of
from bridge.jetstream.api import api, nobody_answers
from bridge.jetstream.command_stores import command_needs, command_stores
from bridge.jetstream.connection import Connection
from bridge.jetstream.errors import NATS_ERRORS, ApiError, Denied, explain, log_errors
from bridge.jetstream.filters import collide, covers
from bridge.jetstream.micro import SERVICE
from bridge.jetstream.migration_facts import register_facts
from bridge.jetstream.permissions import permitted
from bridge.jetstream.reader import extent_of, stream_info
from bridge.jetstream.streams import HEADERS, faults, stream_name
from bridge.model.commands import COMMANDS
from bridge.model.limits import MAX_BODY
from bridge.model.nanos import now
from bridge.model.subjects import Subjects
from bridge.ports import Account, BusFacts, Grant, Granted, LogExtent, ReaderFacts, RoleAt

__all__ = ["JetStreamInspector", "granted"]

USER_INFO: Final = "$SYS.REQ.USER.INFO"


class JetStreamInspector:
    """Implements `bridge.ports.BusInspector`."""

    def __init__(self, connection: Connection, subjects: Subjects) -> None:
        self._connection = connection
        self._subjects = subjects
        self._stream = stream_name(subjects)

    async def inspect(self, role: RoleAt | None = None) -> BusFacts:
        """Return what there is; see the port."""
        jetstream, account = await self._jetstream()
        no_stream, weaknesses, discards_new, clock_ns = jetstream, [], False, 0
        extent: LogExtent | None = None
        permissions = await self._permissions()
        if not jetstream:
            try:
                asked = now()
                with log_errors(self._stream):
                    info = await stream_info(self._connection, self._stream)
                extent = extent_of(info, asked)
                clock_ns = extent.now - min(max(extent.now, asked), now())
                weaknesses = faults(info["config"], self._subjects, replicas=1)
                discards_new = info["config"].get("discard") == "new"
            except LogError as error:
                no_stream = str(error)
        return BusFacts(
            server=self._connection.server,
            way=self._connection.way,
            version=".".join(map(str, self._connection.server_version)),
            jetstream=jetstream,
            max_payload=self._connection.client.max_payload,
            needed_payload=MAX_BODY + HEADERS,
            stream=self._stream,
            no_stream=no_stream,
            faults=weaknesses,
            discards_new=discards_new,
            extent=extent,
            buckets={} if jetstream else {name: await self._bucket(name) for name in self._buckets},
            stores=[] if jetstream else await command_stores(self._connection, self._subjects),
            register=None if jetstream else await register_facts(self._connection, self._subjects),
            grants=None if permissions is None else self._grants(permissions, role),
            account=account,
            readers=[] if extent is None or not self._may_list(permissions) else await self._readers(),
            clock_ns=clock_ns,
        )

    @property
    def _buckets(self) -> list[str]:
        return [f"{self._subjects.root}-state", f"{self._subjects.root}-nodes"]

    async def _jetstream(self) -> tuple[str, Account | None]:
        try:
            return "", account_of(await api(self._connection, "INFO"))
        except nats.errors.NoRespondersError:
            return nobody_answers(self._connection), None
        except Denied:
            return "", None  # the stream itself will tell
        except ApiError as error:
            return f"JetStream is not enabled for this login's account: {error}", None
        except NATS_ERRORS as error:
            return f"JetStream does not answer: {explain(error)}", None

    async def _bucket(self, name: str) -> str:
        try:
            with log_errors(f"KV_{name}"):
                await stream_info(self._connection, f"KV_{name}")
        except LogError as error:
            return str(error)
        return ""

    async def _readers(self) -> list[ReaderFacts]:
        return await readers_of(self._connection, self._stream)

    def _may_list(self, permissions: dict[str, Any] | None) -> bool:
        # What is not permitted the server complains of, and so would we, of something that nobody has asked for.
        subject = f"{self._connection.api}CONSUMER.LIST.{self._stream}"
        return permissions is None or granted(permissions.get("publish") or {}, subject) == "all"

    async def _permissions(self) -> dict[str, Any] | None:
        """Return what the server says that this login may do; None where it does not say."""
        try:
            answer = await self._connection.request(USER_INFO)
            data = msgspec.json.decode(answer.data, type=dict[str, Any]).get("data") or {}
        except (*NATS_ERRORS, msgspec.DecodeError):
            return None
        return data.get("permissions") or {}

    def _grants(self, permissions: dict[str, Any], role: RoleAt | None) -> list[Grant]:
        return [
            Grant(action=action, subject=subject, granted=granted(permissions.get(direction) or {}, subject))
            for action, direction, subject in (self._needs() if role is None else self._needs_of(role))
        ]

    def _needs_of(self, asked: RoleAt) -> list[tuple[str, str, str]]:
        permits = permitted(
            asked.role,
            self._subjects,
            inbox=self._connection.inbox,
            node=asked.node,
            namespace=asked.namespace,
            container=asked.container,
            api_prefix=self._connection.api.removesuffix("."),
            domain=self._connection.domain,
        )
        whose = {"namespace": f"operate {asked.namespace}", "container": f"operate {asked.container}"}
        action = whose.get(asked.role, f"be a {asked.role}")
        return [
            (action, direction, subject)
            for direction, subjects in zip(("publish", "subscribe"), permits, strict=True)
            for subject in subjects
        ]

    def _needs(self) -> list[tuple[str, str, str]]:
        commands = f"{self._subjects.root}.commands.*.*.*"
        streams = [self._stream, f"KV_{self._buckets[0]}"]
        needs = [("receive answers", "subscribe", f"{self._connection.inbox}.>")]
        for what, stream in zip(("read the log", "read the states"), streams, strict=True):
            needs += [
                (what, "publish", f"{self._connection.api}STREAM.INFO.{stream}"),
                (what, "publish", f"{self._connection.api}CONSUMER.CREATE.{stream}.>"),
                (what, "publish", f"{self._connection.api}CONSUMER.MSG.NEXT.{stream}.*"),
            ]
        needs.append(("find nodes", "publish", f"$SRV.INFO.{SERVICE}"))
        needs += [
            (f"send {command.group} commands", "publish", f"{commands}.{verb}") for verb, command in COMMANDS.items()
        ]
        return needs + command_needs(self._subjects, self._connection.api)


def granted(permissions: Mapping[str, Any], subject: str) -> Granted:
    """Return whether permissions of one direction allow a subject, or all subjects of a pattern.

    Args:
        permissions: lists of patterns under `allow` (all, where there is none) and `deny`.
        subject: a subject or a pattern.
    """
    allow, deny = _patterns(permissions.get("allow")), _patterns(permissions.get("deny"))
    if any(covers(pattern, subject) for pattern in deny):
        return "none"
    whole = not allow or any(covers(pattern, subject) for pattern in allow)
    if whole and not any(collide(pattern, subject) for pattern in deny):
        return "all"
    return "some" if whole or any(collide(pattern, subject) for pattern in allow) else "none"


def _patterns(given: Sequence[str] | None) -> list[str]:
    # A pattern for subscriptions may have a queue group behind it.
    return [pattern.partition(" ")[0] for pattern in given or ()]
