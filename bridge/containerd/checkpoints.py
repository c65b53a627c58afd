"""CRIU behind containerd, and everything else that a checkpoint takes from there: `bridge.ports.Checkpointer`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from bridge._pb.containerd.services import images_pb2
from bridge.containerd.channel import in_namespace
from bridge.containerd.checkpoint_dumps import Dumps
from bridge.containerd.checkpoint_host import CheckpointHost
from bridge.containerd.checkpoint_images import CheckpointImages, pack_options, pack_spec, unpack_options, unpack_spec
from bridge.containerd.checkpoint_layers import Layers
from bridge.containerd.checkpoint_networks import Networks
from bridge.containerd.checkpoint_options import criu_config
from bridge.containerd.checkpoint_restores import Restores
from bridge.containerd.container_records import ContainerRecords
from bridge.containerd.content import Content
from bridge.containerd.deadlines import LOOK_S
from bridge.containerd.errors import look_errors, storing_errors
from bridge.containerd.exporting import write_archive
from bridge.containerd.tasks import Tasks
from bridge.containerd.visits import Visits
from bridge.errors import CommandFailed
from bridge.model.checkpoints import CheckpointOptions, HostFacts, Listening
from bridge.ports import Archive, Descriptor, RuntimeVersion, Stdio
from bridge.ports.checkpoints import CheckpointImage, CriuCheck

__all__ = ["Checkpoints"]


class Checkpoints:
    """The checkpoints of one containerd. Made by `ContainerdRuntime`."""

    def __init__(
        self,
        channel: Any,
        address: Path,
        *,
        records: ContainerRecords,
        content: Content,
        tasks: Tasks,
        version: Callable[[], Awaitable[RuntimeVersion]],
    ) -> None:
        visits = Visits(address)
        self._content = content
        self._tasks = tasks
        self._version = version
        self._images = images_pb2.ImagesStub(channel)
        networks = Networks(visits)
        self._records, self._tasks, self._networks = records, tasks, networks
        self._dumps = Dumps(channel, address, records=records, tasks=tasks, networks=networks)
        self._restores = Restores(
            channel, records=records, tasks=tasks, networks=networks, visits=visits, until_over=self._dumps.until_over
        )
        self._host = CheckpointHost(address, visits)
        self._layers = Layers(channel, records)
        self._parts = CheckpointImages(channel, content)

    # -- tasks

    async def dump(
        self, namespace: str, container: str, directory: Path, options: CheckpointOptions, *, ends: bool, lease: str
    ) -> None:
        """Dump a task; see the port."""
        await self._dumps.dump(namespace, container, directory, options, ends=ends, lease=lease)

    async def restore(
        self,
        namespace: str,
        container: str,
        directory: Path,
        *,
        stdio: Stdio | None = None,
        start: Callable[[], Awaitable[int]] | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Make a task from a dump and start it; see the port."""
        return await self._restores.restore(namespace, container, directory, stdio=stdio, start=start, before=before)

    async def until_over(self, directory: Path) -> Literal["finished", "failed", "unknown"]:
        """Wait until nobody works on a directory; see the port."""
        return await self._dumps.until_over(directory)

    async def connections(self, namespace: str, container: str) -> int | None:
        """Return how many TCP connections a task has; see the port."""
        found = await self._tasks.pids(namespace, container)
        return await self._networks.connections([one.pid for one in found])

    async def hold_network(self, namespace: str, container: str) -> None:
        """Let nothing pass in a task's network; see the port."""
        await self._networks.hold(await self._records.one(namespace, container), namespace)

    async def release_network(self, namespace: str, container: str) -> None:
        """Let pass what is held; see the port."""
        await self._networks.release(await self._records.one(namespace, container), namespace)

    def criu_config(self, options: CheckpointOptions) -> str:
        """Return a configuration file of CRIU's; see the port."""
        return criu_config(options)

    # -- the host

    async def host(self, namespace: str, runtime: str = "") -> HostFacts:  # noqa: ARG002 - one host for all of them
        """Return what this host is; see the port."""
        return await self._host.facts((await self._version()).version, runtime)

    async def check(self) -> CriuCheck:
        """Ask CRIU whether it can work; see the port."""
        return await self._host.check()

    async def missing(self, paths: Sequence[str]) -> list[str] | None:
        """Return which paths lead to nothing; see the port."""
        return await self._host.missing(paths)

    async def listening(self, network: str = "") -> list[Listening] | None:
        """Return where anybody listens in a network; see the port."""
        return await self._host.listening(network)

    async def listens(self, namespace: str, container: str) -> list[Listening] | None:
        """Return where the processes of a task listen; see the port."""
        try:
            pids = [one.pid for one in await self._tasks.pids(namespace, container)]
        except CommandFailed:
            return None
        return await self._host.listening("", pids) if pids else []

    # -- what a container wrote

    async def changes(self, namespace: str, container: str, *, packed: bool = False, lease: str) -> Descriptor | None:
        """Return the layer that a container wrote; see the port."""
        return await self._layers.changes(namespace, container, packed=packed, lease=lease)

    async def apply(self, namespace: str, snapshotter: str, key: str, layer: Descriptor, *, lease: str) -> None:
        """Write a layer onto a snapshot; see the port."""
        await self._layers.apply(namespace, snapshotter, key, layer, lease=lease)

    # -- content

    def read(self, namespace: str, content: Descriptor) -> Archive:
        """Return the bytes of a blob; see the port."""
        return self._content.stream(namespace, content.digest, size=content.size)

    async def write(
        self, namespace: str, media_type: str, data: Archive, *, ref: str, lease: str, labels: Mapping[str, str] = {}
    ) -> Descriptor:
        """Put a blob into the content store; see the port."""
        with storing_errors(f"store {ref} in {namespace}"):
            written = await self._content.write(namespace, ref, data, lease=lease, labels=labels)
        return Descriptor(media_type, written.digest, written.size)

    # -- images

    async def export_image(self, namespace: str, name: str, *, platforms: Sequence[str] = ()) -> Archive:
        """Return an image as an archive; see the port."""
        with look_errors(f"look at image {name} in {namespace}"):
            request = images_pb2.GetImageRequest(name=name)
            answer = await self._images.Get(request, timeout=LOOK_S, metadata=in_namespace(namespace))
        wire = answer.image.target
        target = Descriptor(wire.media_type, wire.digest, wire.size)
        return await write_archive(self._content, namespace, name, target, platforms)

    async def image(self, namespace: str, name: str) -> CheckpointImage:
        """Return a checkpoint image's parts; see the port."""
        return await self._parts.read(namespace, name)

    async def make_image(
        self, namespace: str, image: CheckpointImage, *, labels: Mapping[str, str], lease: str
    ) -> None:
        """Write a checkpoint image; see the port."""
        await self._parts.make(namespace, image, labels=labels, lease=lease)

    def pack_spec(self, spec: Mapping[str, Any]) -> bytes:
        """Return the part of a checkpoint image that is the spec; see the port."""
        return pack_spec(spec)

    def unpack_spec(self, data: bytes) -> dict[str, Any]:
        """Return the spec in such a part; see the port."""
        return unpack_spec(data)

    def unpack_options(self, data: bytes) -> CheckpointOptions:
        """Return the options in such a part; see the port."""
        return unpack_options(data)

    def pack_options(self, options: CheckpointOptions, *, ends: bool) -> bytes:
        """Return the part of a checkpoint image that is the options; see the port."""
        return pack_options(options, ends=ends)
