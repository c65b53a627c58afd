"""What is in order of the nodes, and what is not: whether they are heard, what they missed, who holds their names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

import bridge
from bridge.client.finding import Finding, span
from bridge.client.standing import NodeStanding
from bridge.model.node_events import NodeGap, NodeLease
from bridge.model.nodes import NodeRecord
from bridge.ports import LogExtent, StoredEvent

__all__ = ["SKEW_NS", "of_node", "of_records", "of_the_hour"]

SKEW_NS: Final = 2_000_000_000
"""How far two clocks may be apart before it is told of."""

_VERSION: Final = re.compile(r"\d+")


def of_node(node: NodeStanding, extent: LogExtent | None) -> Finding:
    """Return how one node stands."""
    now = node.heard_at if extent is None else extent.now
    heard = f"its last event was stored {span(now - node.heard_at)} ago"
    area, why = f"node {node.node}", f" ({node.reason})" if node.reason else ""
    match node.condition:
        case "live" if node.ahead_ns > SKEW_NS:
            return Finding(
                level="warn",
                area=area,
                message=f"live, and its clock is {span(node.ahead_ns)} ahead of the server's at least, {heard}",
                remedy="set the clocks of both hosts by NTP (timedatectl)",
                trouble="clock-ahead",
            )
        case "live":
            return Finding(level="ok", area=area, message=f"live, {heard}")
        case "behind":
            late = span(node.heard_at - node.as_of)
            return Finding(
                level="warn",
                area=area,
                message=f"behind: it writes what it read {late} before",
                remedy="it catches up by itself after an outage; if not, look at its log for what the stream refuses",
                trouble="node-behind",
            )
        case "silent":
            return Finding(
                level="warn",
                area=area,
                message=f"silent: {heard}, and nothing said that it would stop",
                remedy="see whether its bridge runs and reaches NATS; what it reads meanwhile it keeps on its disk",
                trouble="node-silent",
            )
        case "disconnected":
            return Finding(
                level="warn",
                area=area,
                message=f"an open gap: it has lost its containerd{why}, {heard}",
                remedy="see whether containerd runs there; the bridge connects again by itself",
                trouble="node-disconnected",
            )
        case "stopped":
            return Finding(
                level="warn",
                area=area,
                message=f"an open gap: its bridge was stopped{why}, {heard}",
                remedy="start it again, unless the host is gone",
                trouble="node-stopped",
            )


def of_the_hour(lately: Sequence[StoredEvent]) -> Iterator[Finding]:
    """Iterate over what the gaps and leases of the last hour say, in the log's order."""
    gaps: dict[str, list[NodeGap]] = {}
    logs: dict[str, list[str]] = {}
    for event in lately:
        match event.recorded.data:
            case NodeGap() as gap if gap.cause != "first-start":
                gaps.setdefault(event.recorded.node, []).append(gap)
            case NodeLease(log=log):
                held = logs.setdefault(event.recorded.node, [])
                if held[-1:] != [log]:
                    held.append(log)
            case _:
                pass
    for node, found in sorted(gaps.items()):
        yield _of_gaps(node, found)
    for node, held in sorted(logs.items()):
        # A host that is made anew has a new log and keeps it; one that comes back after another's was there all the time.
        if len(held) > len(set(held)):
            yield Finding(
                level="fail",
                area=f"node {node}",
                message=f"it went from one bridge to another and back {len(held) - 1} times within an hour",
                remedy="two hosts have bridges of this name: give one of them another --node",
                trouble="two-bridges",
            )


def of_records(records: Sequence[NodeRecord], nodes: Sequence[NodeStanding]) -> Iterator[Finding]:
    """Iterate over what the records of nodes say, of those that are not known to be gone."""
    gone = {node.node for node in nodes if node.condition in {"stopped", "silent"}}
    for record in records:
        if record.node in gone:
            continue
        area = f"node {record.node}"
        if _number(record.version) > _number(bridge.__version__):
            yield Finding(
                level="warn",
                area=area,
                message=f"its bridge is {record.version}, and this program {bridge.__version__}",
                remedy="install the newer version here: pip install --upgrade containerd-bridge",
                trouble="version-newer",
            )
        if not record.groups:
            yield Finding(
                level="ok",
                area=area,
                message="it takes no commands: they are switched off there",
                remedy="if it should, start its bridge with --commands observe,lifecycle (or exec, create, checkpoint, all)",
                trouble="commands-off",
            )


def _of_gaps(node: str, gaps: Sequence[NodeGap]) -> Finding:
    last = gaps[-1]
    lasted = "" if last.since is None else f" for {span(last.until - last.since)}"
    times = f"{len(gaps)} times" if len(gaps) > 1 else "once"
    return Finding(
        level="warn",
        area=f"node {node}",
        message=f"it was not subscribed {times} within an hour, last{lasted} up to {last.until} ({last.reason})",
        remedy="what containerd lists was told afterwards as reconciled; see `containerd-bridge events --type gap --since 1h`",
        trouble="gap-recent",
    )


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, _VERSION.findall(version)[:3]))
