"""What is in order on the bus and what is not, as findings that say what to do.

A failure is what keeps the log from being kept or read; a warning is what somebody should know of. Each finding is about one
thing, and there is one for each thing that is in order too, so that a list of them shows what was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from bridge.client.checkup_of_commands import of_commands
from bridge.client.checkup_of_migrations import of_migrations
from bridge.client.checkup_of_nodes import SKEW_NS, of_node, of_records, of_the_hour
from bridge.client.finding import NEARLY, Finding, span
from bridge.client.standing import LATE_NS, NodeStanding
from bridge.model.nodes import NodeRecord
from bridge.ports import Account, BusFacts, Grant, LogExtent, StoredEvent

__all__ = ["Finding", "findings"]

FAR: Final = 1_000
"""Events that may wait for a reader before it is told of: a busy node has as many in some seconds."""


def findings(
    facts: BusFacts,
    nodes: Sequence[NodeStanding] | str,
    *,
    records: Sequence[NodeRecord] = (),
    lately: Sequence[StoredEvent] = (),
) -> list[Finding]:
    """Return what there is to say.

    Args:
        facts: what is set up on the bus.
        nodes: how the nodes stand, or a sentence that says why that cannot be told.
        records: the nodes' records.
        lately: the gaps and leases of the last hour, in the log's order.
    """
    return [
        *_of_server(facts),
        *([] if facts.account is None else _of_account(facts.account)),
        *_of_stream(facts),
        *([] if facts.extent is None else _of_retention(facts.extent, facts)),
        *([] if facts.extent is None else _of_lag(facts.extent)),
        *_of_readers(facts),
        *_of_nodes(nodes, facts),
        *of_the_hour(lately),
        *of_records(records, [] if isinstance(nodes, str) else nodes),
        *_of_buckets(facts),
        *of_commands(facts.stores),
        *of_migrations(facts.register),
        *_of_grants(facts.grants),
    ]


def _of_server(facts: BusFacts) -> Iterator[Finding]:
    connected = f"connected to {facts.server} (nats-server {facts.version}){facts.way}"
    yield Finding(level="ok", area="nats", message=connected)
    if facts.jetstream:
        what, _, remedy = facts.jetstream.partition(": ")
        yield Finding(level="fail", area="jetstream", message=what, remedy=remedy, trouble="jetstream-off")
    else:
        yield Finding(level="ok", area="jetstream", message="it answers")
    if facts.max_payload < facts.needed_payload:
        yield Finding(
            level="fail",
            area="nats",
            message=f"max_payload is {facts.max_payload} bytes, needed are {facts.needed_payload}",
            remedy="raise max_payload in nats-server's configuration (its default is 1MB)",
            trouble="payload-small",
        )

    if abs(facts.clock_ns) > SKEW_NS:
        yield Finding(
            level="warn",
            area="nats",
            message=f"the server's clock is {_apart(facts.clock_ns)} the clock here",
            remedy="set both by NTP (timedatectl); until then give times and sequence numbers, no durations",
            trouble="clock-here",
        )


def _of_account(account: Account) -> Iterator[Finding]:
    for what, there, most in (
        ("bytes", account.bytes, account.max_bytes),
        ("streams", account.streams, account.max_streams),
        ("consumers", account.consumers, account.max_consumers),
    ):
        if most is not None and there / most >= NEARLY:
            yield Finding(
                level="fail" if there >= most else "warn",
                area="account",
                message=f"the account has {there} of the {most} {what} that it may have",
                remedy="raise the account's limit in NATS, or remove what is not needed (nats stream report)",
                trouble="account-full",
            )


def _of_readers(facts: BusFacts) -> Iterator[Finding]:
    for reader in facts.readers:
        if reader.waiting >= FAR:
            yield Finding(
                level="warn",
                area="readers",
                message=f"{reader.waiting} events wait for the reader {reader.name}",
                remedy=f"see whether it runs, or remove its place (nats consumer rm {facts.stream} {reader.name})",
                trouble="reader-behind",
            )


def _of_stream(facts: BusFacts) -> Iterator[Finding]:
    if facts.jetstream:
        return
    if facts.no_stream:
        yield Finding(
            level="fail",
            area="stream",
            message=facts.no_stream,
            remedy="start a bridge on this bus, look at --root, or permit this login to look at the stream",
            trouble="stream-missing",
        )
        return
    for fault in facts.faults:
        yield Finding(
            level="fail",
            area="stream",
            message=f"{facts.stream}: {fault}",
            remedy=f"no bridge starts with such a stream: change it (nats stream edit {facts.stream})",
            trouble="stream-weak",
        )
    if not facts.faults:
        yield Finding(level="ok", area="stream", message=f"{facts.stream} is as strong as a bridge needs it")


def _of_retention(extent: LogExtent, facts: BusFacts) -> Iterator[Finding]:
    kept = f"{extent.messages} events, {extent.size} bytes"
    if extent.first_at is not None:
        kept += f", since {extent.first_at}"
    if extent.forgotten:
        kept += f"; {extent.first_sequence - 1} before them are gone"
    yield Finding(level="ok", area="retention", message=kept)
    if not (extent.max_age or extent.max_bytes or extent.max_messages):
        yield Finding(
            level="warn",
            area="retention",
            message="events are kept for ever: the stream grows until the disk is full",
            remedy=f"set a limit (nats stream edit {facts.stream} --max-age 7d)",
            trouble="kept-for-ever",
        )
        return
    if extent.max_age:
        oldest = "" if extent.first_at is None else f", the oldest goes in {span(_left(extent))}"
        yield Finding(
            level="ok",
            area="retention",
            message=f"an event is kept for {span(extent.max_age)}{oldest}: then `history` and `ps --at` no longer reach it",
        )
    for what, there, limit in (
        ("bytes", extent.size, extent.max_bytes),
        ("events", extent.messages, extent.max_messages),
    ):
        if limit:
            yield _of_limit(what, there / limit, limit, facts)


def _of_limit(what: str, share: float, limit: int, facts: BusFacts) -> Finding:
    full = f"the stream has {share:.0%} of the {limit} {what} that it keeps"
    if not facts.discards_new:
        return Finding(level="ok", area="retention", message=f"{full}, and then forgets the oldest, however young")
    raise_it = f"raise its limit (nats stream edit {facts.stream}), or let it forget old events"
    if share >= 1:
        return Finding(
            level="fail",
            area="retention",
            message=f"{full} and takes no more: bridges wait",
            remedy=raise_it,
            trouble="stream-full",
        )
    return Finding(
        level="warn" if share >= NEARLY else "ok",
        area="retention",
        message=f"{full}, and then takes no more: bridges would wait",
        remedy=raise_it if share >= NEARLY else "",
        trouble="stream-full" if share >= NEARLY else "",
    )


def _of_lag(extent: LogExtent) -> Iterator[Finding]:
    if extent.last_at is None:
        yield Finding(
            level="warn",
            area="log",
            message="it is empty",
            remedy="a bridge writes its first event when it starts",
            trouble="log-silent",
        )
        return
    late = extent.now - extent.last_at
    said = f"the last event was stored {span(late)} ago"
    if late > LATE_NS:
        remedy = "bridges write one every ten seconds: see whether any runs and reaches this server"
        yield Finding(level="warn", area="log", message=said, remedy=remedy, trouble="log-silent")
    else:
        yield Finding(level="ok", area="log", message=said)


def _of_nodes(nodes: Sequence[NodeStanding] | str, facts: BusFacts) -> Iterator[Finding]:
    if isinstance(nodes, str):
        if not (facts.jetstream or facts.no_stream):
            yield Finding(
                level="fail",
                area="nodes",
                message=f"the log cannot be read: {nodes}",
                remedy="permit this login to read the stream",
                trouble="log-unreadable",
            )
        return
    for node in nodes:
        yield of_node(node, facts.extent)


def _of_buckets(facts: BusFacts) -> Iterator[Finding]:
    for name, why in facts.buckets.items():
        if why:
            yield Finding(
                level="warn",
                area="buckets",
                message=f"{name} cannot be used: {why}",
                remedy="the states of containers are then asked of the nodes; a bridge makes its buckets when it starts",
                trouble="bucket-unusable",
            )
        else:
            yield Finding(level="ok", area="buckets", message=f"{name} is there")


def _of_grants(grants: Sequence[Grant] | None) -> Iterator[Finding]:
    if grants is None:
        yield Finding(level="ok", area="permissions", message="the server does not tell what this login may do")
        return
    by_action: dict[str, list[Grant]] = {}
    for grant in grants:
        by_action.setdefault(grant.action, []).append(grant)
    for action, needed in by_action.items():
        lacking = [grant for grant in needed if grant.granted != "all"]
        subjects = ", ".join(grant.subject for grant in lacking)
        if not lacking:
            yield Finding(level="ok", area="permissions", message=f"this login may {action}")
        elif all(grant.granted == "some" for grant in lacking):
            yield Finding(level="ok", area="permissions", message=f"this login may {action} in some places: {subjects}")
        else:
            yield Finding(
                level="warn",
                area="permissions",
                message=f"this login may not {action}",
                remedy=f"permit {subjects} in NATS, if it should",
                trouble="not-permitted",
            )


def _apart(nanos: int) -> str:
    return f"{span(abs(nanos))} {'ahead of' if nanos > 0 else 'behind'}"


def _left(extent: LogExtent) -> int:
    assert extent.first_at is not None
    return max(0, extent.max_age - (extent.now - extent.first_at))
