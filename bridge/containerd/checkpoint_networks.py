"""The network of a task that CRIU works on: locked while it does, and to be found as it was when that goes wrong.

CRIU locks a network namespace with rules that let nothing pass, or, where a container has the host's network, each connection
with rules of its own. It takes them away itself, unless it is killed, or a restore fails. A dump which ends its task leaves them
on purpose, until the restore: nobody may answer for a connection that is to go on.

Rules that were there before are of such a dump, perhaps of another container in the same network. They stay.

Between a dump and the moment at which somebody else goes on with its connections nobody may answer for them here, nor close them.
So a network that the spec names by path is held: nothing passes in it until it is released, or a task was restored in it.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

from bridge._pb.containerd.services import containers_pb2
from bridge.containerd.records import spec_of
from bridge.containerd.visitor import HELD
from bridge.containerd.visits import Unseen, Visits
from bridge.errors import CommandFailed

__all__ = ["Network", "Networks"]

log = logging.getLogger(__name__)

OWN: Final = ""
HOSTS: Final = None


class Network(NamedTuple):
    """A container's network: `path` of its namespace as the spec has it, empty for one of its own, None for the host's.

    `before` are the rules of CRIU's that were there, None where that is not to be seen from here.
    """

    namespace: str
    container: str
    path: str | None
    before: Mapping[str, Sequence[str]] | None


class Networks:
    """The networks of one containerd's tasks."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits

    async def look(self, namespace: str, record: containers_pb2.Container) -> Network:
        """Look at a container's network before CRIU works on it."""
        path, before = _path(record), None
        try:
            # One of its own has nobody else's rules.
            before = {} if path == OWN else (await self._visits.do(("rules",), net=path or ""))[0]
        except Unseen as why:
            log.info("rules in the network of %s in %s are out of sight: %s", record.id, namespace, why)
        return Network(namespace, record.id, path, before)

    async def put_back(self, network: Network, pid: int, *steps: Sequence[Any]) -> None:
        """Remove the rules that a CRIU which failed has left.

        Args:
            network: as it was before.
            pid: of a process in it; 0 for none, and then a network of its own is gone.
            steps: of `visitor`, to be done besides.
        """
        if network.before is None or (network.path == OWN and not pid):
            return
        await self._do(network, pid, ("unlock", network.before), *steps)

    async def open_up(self, network: Network, pid: int) -> None:
        """Let a network be used after a restore: runc has made a container's own anew and left it down, another may be held."""
        if network.path is not HOSTS:
            await self._do(network, pid, ("loopback",) if network.path == OWN else ("release",))

    async def hold(self, record: containers_pb2.Container, namespace: str) -> None:
        """Let nothing pass in a network that the spec names by path; in others nothing is done.

        Raises:
            CommandFailed: `failed_precondition`: it cannot be.
        """
        if not (path := _path(record)):
            return
        try:
            (why,) = await self._visits.do(("hold",), net=path)
        except Unseen as unseen:
            why = str(unseen)
        if why:
            sentence = f"the network {path} of container {record.id} in {namespace} cannot be held: {why}"
            raise CommandFailed("failed_precondition", sentence)

    async def release(self, record: containers_pb2.Container, namespace: str) -> None:
        """Let pass what is held in a network that the spec names by path, if there still is one.

        Raises:
            CommandFailed: `unavailable`: it cannot be done now, and may be held for ever.
        """
        if not (path := _path(record)):
            return
        try:
            (missing,) = await self._visits.do(("missing", path))
            (released,) = [True] if missing else await self._visits.do(("release",), net=path)
        except Unseen as why:
            released, said = False, str(why)
        else:
            said = "iptables or nft refuses"
        if not released:
            raise CommandFailed(
                "unavailable",
                f"in the network {path} of container {record.id} in {namespace} nothing may pass: {said}; remove what leads to "
                f"chain {HELD} there, and that, with iptables and ip6tables, or the table inet {HELD.lower()} with nft",
            )

    async def connections(self, pids: Sequence[int]) -> int | None:
        """Return how many TCP connections these processes have, None where they are out of sight."""
        try:
            (found,) = await self._visits.do(("connections", list(pids)))
        except Unseen:
            return None
        return int(found)

    async def _do(self, network: Network, pid: int, *steps: Sequence[Any]) -> None:
        path = f"/proc/{pid}/ns/net" if network.path == OWN else network.path or ""
        try:
            await self._visits.do(*steps, net=path)
        except Unseen as why:
            log.warning("what CRIU left of %s in %s stays: %s", network.container, network.namespace, why)


def _path(record: containers_pb2.Container) -> str | None:
    spec = spec_of(record) or {}
    for one in (spec.get("linux") or {}).get("namespaces") or []:
        if one.get("type") == "network":
            return str(one.get("path") or OWN)
    return HOSTS
