"""What is in order on the bus and what is not, as findings that say what to do.

A failure is what keeps the log from being kept or read; a warning is what somebody should know of. Each finding is about one
thing, and there is one for each thing that is in order too, so that a list of them shows what was looked at.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bridge.client.checkup_of_commands import of_commands
from bridge.client.checkup_of_migrations import of_migrations
from bridge.client.finding import NEARLY, Finding, span
from bridge.client.standing import LATE_NS, NodeStanding
from bridge.ports import BusFacts, Grant, LogExtent

__all__ = ["Finding", "findings"]


def findings(facts: BusFacts, nodes: Sequence[NodeStanding] | str) -> list[Finding]:
    """Return what there is to say.

    Args:
        facts: what is set up on the bus.
        nodes: how the nodes stand, or a sentence that says why that cannot be told.
    """
    return [
        *_of_server(facts),
        *_of_stream(facts),
        *([] if facts.extent is None else _of_retention(facts.extent, facts)),
        *([] if facts.extent is None else _of_lag(facts.extent)),
        *_of_nodes(nodes, facts),
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
        yield Finding(level="fail", area="jetstream", message=what, remedy=remedy)
    else:
        yield Finding(level="ok", area="jetstream", message="it answers")
    if facts.max_payload < facts.needed_payload:
        yield Finding(
            level="fail",
            area="nats",
            message=f"max_payload is {facts.max_payload} bytes, needed are {facts.needed_payload}",
            remedy="raise max_payload in nats-server's configuration (its default is 1MB)",
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
        )
        return
    for fault in facts.faults:
        yield Finding(
            level="fail",
            area="stream",
            message=f"{facts.stream}: {fault}",
            remedy=f"no bridge starts with such a stream: change it (nats stream edit {facts.stream})",
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
            level="fail", area="retention", message=f"{full} and takes no more: bridges wait", remedy=raise_it
        )
    return Finding(
        level="warn" if share >= NEARLY else "ok",
        area="retention",
        message=f"{full}, and then takes no more: bridges would wait",
        remedy=raise_it if share >= NEARLY else "",
    )


def _of_lag(extent: LogExtent) -> Iterator[Finding]:
    if extent.last_at is None:
        yield Finding(
            level="warn", area="log", message="it is empty", remedy="a bridge writes its first event when it starts"
        )
        return
    late = extent.now - extent.last_at
    said = f"the last event was stored {span(late)} ago"
    if late > LATE_NS:
        remedy = "bridges write one every ten seconds: see whether any runs and reaches this server"
        yield Finding(level="warn", area="log", message=said, remedy=remedy)
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
            )
        return
    for node in nodes:
        yield _of_node(node, facts)


def _of_node(node: NodeStanding, facts: BusFacts) -> Finding:
    now = node.heard_at if facts.extent is None else facts.extent.now
    heard = f"its last event was stored {span(now - node.heard_at)} ago"
    area, why = f"node {node.node}", f" ({node.reason})" if node.reason else ""
    match node.condition:
        case "live":
            return Finding(level="ok", area=area, message=f"live, {heard}")
        case "behind":
            late = span(node.heard_at - node.as_of)
            return Finding(
                level="warn",
                area=area,
                message=f"behind: it writes what it read {late} before",
                remedy="it catches up by itself after an outage; if not, look at its log for what the stream refuses",
            )
        case "silent":
            return Finding(
                level="warn",
                area=area,
                message=f"silent: {heard}, and nothing said that it would stop",
                remedy="see whether its bridge runs and reaches NATS; what it reads meanwhile it keeps on its disk",
            )
        case "disconnected":
            return Finding(
                level="warn",
                area=area,
                message=f"an open gap: it has lost its containerd{why}, {heard}",
                remedy="see whether containerd runs there; the bridge connects again by itself",
            )
        case "stopped":
            return Finding(
                level="warn",
                area=area,
                message=f"an open gap: its bridge was stopped{why}, {heard}",
                remedy="start it again, unless the host is gone",
            )


def _of_buckets(facts: BusFacts) -> Iterator[Finding]:
    for name, why in facts.buckets.items():
        if why:
            yield Finding(
                level="warn",
                area="buckets",
                message=f"{name} cannot be used: {why}",
                remedy="the states of containers are then asked of the nodes; a bridge makes its buckets when it starts",
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
            )


def _left(extent: LogExtent) -> int:
    assert extent.first_at is not None
    return max(0, extent.max_age - (extent.now - extent.first_at))
