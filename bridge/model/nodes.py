"""What the bucket of nodes holds: one record for each node that has a bridge, written by the bridge that holds the node's lease.

The record is there from the bridge's start to its stop, and stays where it ended without one; `renewed` then stands still.
"""

from __future__ import annotations

from msgspec import Struct

from bridge.model.nanos import Nanos

__all__ = ["NodeRecord"]


class NodeRecord(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A node and the one bridge that writes as it.

    Attributes:
        node: the node's name.
        holder: ULID of the bridge's run; another run is another holder.
        log: UUID of its outbox, the first half of its events' positions.
        version: of the bridge.
        pid: its process id, in its own PID namespace.
        since: when it took the lease.
        renewed: when it last renewed it, by the bridge's own clock.
        lease_s: seconds for which a renewal holds.
        boot_id: the kernel's, new at every boot of the host.
        pid_namespace: which PID namespace `pid` is of.
        pid_started: when the process began, in the kernel's ticks since the boot; process ids are used again.
        state_dir: which directory the outbox is in, as the kernel knows it (device and inode): a copy is another one.
        containerd: version of its containerd.
        groups: the groups of commands that it takes.
    """

    node: str
    holder: str
    log: str
    version: str
    pid: int
    since: Nanos
    renewed: Nanos
    lease_s: float
    boot_id: str | None = None
    pid_namespace: int | None = None
    pid_started: int | None = None
    state_dir: str | None = None
    containerd: str | None = None
    groups: list[str] = []

    def __str__(self) -> str:
        since, renewed = (f"{str(moment)[:19]}Z" for moment in (self.since, self.renewed))
        return f"containerd-bridge {self.version} (pid {self.pid}, since {since}, last renewed {renewed})"
