"""containerd as the commands need it: `bridge.ports.ContainerRuntime` over one gRPC channel.

Every call names its namespace and has a deadline, but the one that waits for an exit. Failures are `CommandFailed` with our
code and containerd's own words.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bridge._pb.containerd.services import version_pb2
from bridge._pb.google.protobuf.empty_pb2 import Empty
from bridge.containerd.bundles import Bundles
from bridge.containerd.channel import aio_channel
from bridge.containerd.checkpoints import Checkpoints
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.containers import Containers
from bridge.containerd.content import Content
from bridge.containerd.deadlines import LOOK_S
from bridge.containerd.errors import look_errors
from bridge.containerd.host import HostProcesses
from bridge.containerd.images import Images
from bridge.containerd.leases import Leases
from bridge.containerd.privileges import privileges_at
from bridge.containerd.snapshots import Snapshots
from bridge.containerd.tasks import Tasks
from bridge.containerd.transfer import Transfer
from bridge.containerd.unpacking import Unpacking
from bridge.errors import CommandFailed
from bridge.ports import Privileges, RuntimeVersion

__all__ = ["ContainerdRuntime"]


class ContainerdRuntime:
    """The containerd behind one socket. Connects when first used, and again by itself after a loss.

    Its parts, `containers`, `tasks`, `images`, `snapshots`, `leases` and `checkpoints`, are there once it is entered.
    """

    containers: Containers
    tasks: Tasks
    images: Images
    snapshots: Snapshots
    leases: Leases
    checkpoints: Checkpoints

    def __init__(self, address: Path, *, bundle_root: Path | None = None) -> None:
        """Take the path of containerd's gRPC socket. Nothing is opened before `async with`.

        Args:
            address: that path.
            bundle_root: the only directory in which bundles of other clients are removed with their containers; None for none.
        """
        self._address = address
        self._bundle_root = bundle_root
        self._channel: Any = None

    async def __aenter__(self) -> Self:
        channel = self._channel = aio_channel(self._address)
        records, content = ContainerRecords(channel), Content(channel)
        unpacking = Unpacking(channel, content)
        self.leases = Leases(channel, records)
        self.snapshots = Snapshots(channel, self._address, unpacking)
        self.images = Images(channel, content, unpacking, Transfer(channel, self.version))
        self.tasks = Tasks(channel, records, self.snapshots, HostProcesses(self._address))
        self.containers = Containers(channel, records, self.snapshots, self.tasks, Bundles(self._bundle_root))
        self.checkpoints = Checkpoints(
            channel, self._address, records=records, content=content, tasks=self.tasks, version=self.version
        )
        self._version = version_pb2.VersionStub(channel)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def privileges(self) -> Privileges:
        """Return what root may on its host; see the port."""
        try:
            return await asyncio.to_thread(privileges_at, self._address)
        except OSError as error:
            raise CommandFailed(
                "failed_precondition",
                f"the devices of the host cannot be listed ({error.filename}: {error.strerror}): run the bridge where it sees "
                "/dev of containerd's host, or give a whole spec",
            ) from error

    async def version(self) -> RuntimeVersion:
        """Return containerd's version."""
        with look_errors("ask containerd for its version"):
            answer = await self._version.Version(Empty(), timeout=LOOK_S)
        return RuntimeVersion(answer.version, answer.revision)
