"""The checkpoints of a containerd in memory: dumps are real files, blobs are bytes, and CRIU is `MemoryContainerd.criu`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import Struct, structs

from bridge.errors import BadMoment, CommandFailed
from bridge.model.checkpoints import CheckpointOptions, HostFacts, Listening
from bridge.model.kinds import decoder
from bridge.model.nanos import now
from bridge.model.outcomes import ImageInfo
from bridge.ports import Archive, Descriptor, Stdio
from bridge.ports.checkpoints import CRIU_TAR, RW_LAYER, TRIES, CheckpointImage, CriuCheck
from bridge.testing.calls import Calls
from bridge.testing.criu import GAVE_UP
from bridge.testing.images import MANIFEST, MemoryImage, digest_of, manifest_of
from bridge.testing.tars import files_in, tar_of
from bridge.testing.task import MemoryTask, Refusal

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryCheckpointer"]

INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar"
LABEL = "containerd.io/checkpoint"
PIECE = 64 * 1024


class _Options(Struct):
    exit: bool
    options: CheckpointOptions


class MemoryCheckpointer:
    """Implements `bridge.ports.checkpoints.Checkpointer`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls
        self._under_way: dict[Path, asyncio.Future[None]] = {}

    # -- tasks

    async def dump(
        self, namespace: str, container: str, directory: Path, options: CheckpointOptions, *, ends: bool, lease: str
    ) -> None:
        """Dump a task; see the port. `MemoryCriu` says whether it goes well, and keeps the options."""
        criu, doing = self._containerd.criu, f"checkpoint {container} in {namespace}"
        task = await self._calls.call(doing, lambda: self._dumpable(namespace, container, directory, lease))
        work = directory.parent / "work"
        work.mkdir(mode=0o700, exist_ok=True)
        criu.dumped = options
        dumping = self._under_way[directory] = asyncio.ensure_future(
            self._dumped(doing, task, directory, work, ends=ends)
        )
        dumping.add_done_callback(lambda _: self._under_way.pop(directory))
        try:
            await asyncio.shield(dumping)
        except asyncio.CancelledError:
            await asyncio.wait({dumping})
            raise

    async def _dumped(self, doing: str, task: MemoryTask, directory: Path, work: Path, *, ends: bool) -> None:
        criu = self._containerd.criu
        if criu.held is not None and not criu.held.is_set():
            criu.busy.set()
            await criu.held.wait()
        for _ in range(TRIES if task.info.status == "running" else 1):
            if not criu.bad_moments:
                break
            criu.bad_moments -= 1
        else:
            criu.log(work / "dump.log", GAVE_UP, "Error (criu/cr-dump.c:1975): Dumping FAILED.")
            raise BadMoment(
                "failed_precondition",
                f"cannot {doing}: let it run on for a moment, and try again; CRIU says: {GAVE_UP}",
            )
        if criu.fails == "dump":
            criu.log(work / "dump.log", criu.says, "Error (criu/cr-dump.c:1975): Dumping FAILED.")
            raise CommandFailed(
                "failed_precondition", f"cannot {doing}: CRIU says: {criu.says}", containerd="criu failed: type DUMP"
            )
        criu.write(directory, work, task.memory)
        if ends:
            task.end(137)

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
        """Make a task from a dump; see the port. `MemoryCriu` says whether it goes well."""
        starts = start or partial(self._containerd.runtime.tasks.start, namespace, container)

        async def begin() -> int:
            if before is not None:
                await before()
            return await starts()

        restoring = asyncio.ensure_future(self._restored(namespace, container, directory, stdio, begin))
        try:
            return await asyncio.shield(restoring)
        except asyncio.CancelledError:
            await asyncio.wait({restoring})
            if self._containerd.containers[namespace, container].task is not None:
                self._drop(namespace, container)
            raise

    async def _restored(
        self,
        namespace: str,
        container: str,
        directory: Path,
        stdio: Stdio | None,
        begin: Callable[[], Awaitable[int]],
    ) -> int:
        criu, doing = self._containerd.criu, f"restore {container} in {namespace}"

        def make() -> MemoryTask:
            self._calls.container(namespace, container)
            return self._containerd.make_task(namespace, container, stdio, checkpoint=str(directory))

        task, started = await self._calls.call(doing, make), False
        work = directory.parent / "work"
        try:
            task.memory = criu.read(directory)
            work.mkdir(mode=0o700, exist_ok=True)
            if criu.fails == "restore":
                criu.log(work / "restore.log", criu.says)
                raise CommandFailed("failed_precondition", f"cannot {doing}: CRIU says: {criu.says}")
            criu.log(work / "restore.log", "Restore finished successfully. Tasks resumed.")
            pid = await begin()
            started = True
        except OSError as error:
            raise CommandFailed(
                "failed_precondition", f"cannot {doing}: open {error.filename}: {error.strerror}"
            ) from error
        finally:
            if not started:
                self._drop(namespace, container)
        return pid

    async def until_over(self, directory: Path) -> Literal["finished", "failed", "unknown"]:
        """Wait until a dump that `MemoryCriu.held` holds up is over; see the port."""
        if directory in self._under_way:
            await asyncio.wait({self._under_way[directory]})
        return self._containerd.criu.ended(directory.parent / "work" / "dump.log")

    async def connections(self, namespace: str, container: str) -> int | None:
        """Return what `MemoryCriu` says; see the port."""
        await self._calls.call("look at its connections", lambda: self._calls.task(namespace, container))
        return self._containerd.criu.connections

    async def hold_network(self, namespace: str, container: str) -> None:
        """Note it in `MemoryCriu`; see the port."""
        await self._calls.call("hold its network", lambda: self._calls.container(namespace, container))
        self._containerd.criu.networks.add((namespace, container))

    async def release_network(self, namespace: str, container: str) -> None:
        """Note it in `MemoryCriu`; see the port."""
        await self._calls.call("release its network", lambda: self._calls.container(namespace, container))
        self._containerd.criu.networks.discard((namespace, container))

    def criu_config(self, options: CheckpointOptions) -> str:
        """Return the options that are not as they always are, one a line; see the port."""
        return "".join(f"{name} {value}\n" for name, value in sorted(structs.asdict(options).items()) if value)

    # -- the host

    async def host(self, namespace: str, runtime: str = "") -> HostFacts:
        """Return what `MemoryCriu` says that it is; see the port."""
        version = self._containerd.about.version
        return await self._calls.call(
            f"look at the host of {namespace}",
            lambda: structs.replace(self._containerd.criu.host, containerd=version, runtime=runtime),
        )

    async def check(self) -> CriuCheck:
        """Return what `MemoryCriu` says; see the port."""
        criu = self._containerd.criu
        says = {True: "Looks good.", False: criu.says, None: "CRIU cannot be asked from here"}[criu.works]
        return CriuCheck("" if criu.works is None else criu.host.criu, criu.works, says)

    async def missing(self, paths: Sequence[str]) -> list[str] | None:
        """Return what `MemoryCriu` has not; see the port. Where CRIU cannot be asked, its host is out of sight."""
        return self._containerd.criu.seen([path for path in paths if path in self._containerd.criu.missing])

    async def listening(self, network: str = "") -> list[Listening] | None:
        """Return what `MemoryCriu` says; see the port."""
        return self._containerd.criu.seen(self._containerd.criu.listening.get(network, []))

    async def listens(self, namespace: str, container: str) -> list[Listening] | None:
        """Return what `MemoryCriu` says; see the port."""
        found = self._containerd.containers.get((namespace, container))
        there = found is not None and found.task is not None
        return self._containerd.criu.seen(self._containerd.criu.listens.get(container, [])) if there else None

    # -- what a container wrote

    async def changes(self, namespace: str, container: str, *, packed: bool = False, lease: str) -> Descriptor | None:
        """Return the files of a snapshot that its image has not so, as a tar; see the port. Nothing is compressed here."""

        def found() -> Descriptor | None:
            record = self._calls.container(namespace, container).record
            snapshot = self._containerd.snapshots.get((namespace, record.snapshot_key))
            if not record.snapshot_key or snapshot is None:
                return None
            self._demand_lease(namespace, lease)
            image = self._containerd.images.get((namespace, record.image))
            below = image.files if image else {}
            data = tar_of({path: data for path, data in snapshot.files.items() if below.get(path) != data})
            return self._put(namespace, RW_LAYER if packed else LAYER, data)

        return await self._calls.call(f"find out what {container} in {namespace} has written", found)

    async def apply(self, namespace: str, snapshotter: str, key: str, layer: Descriptor, *, lease: str) -> None:  # noqa: ARG002
        """Write a layer's files into a snapshot; see the port."""

        def write() -> None:
            self._demand_lease(namespace, lease)
            snapshot = self._containerd.snapshots.get((namespace, key))
            if snapshot is None:
                raise Refusal("not_found", f"snapshot {key}: not found")
            files = {**snapshot.files, **files_in(self._blob(namespace, layer.digest))}
            self._containerd.snapshots[namespace, key] = structs.replace(snapshot, files=files)

        await self._calls.call(f"write layer {layer.digest} onto snapshot {key} in {namespace}", write)

    # -- content

    async def read(self, namespace: str, content: Descriptor) -> AsyncIterator[bytes]:
        """Return a blob; see the port."""
        data = await self._calls.call(f"read content {content.digest}", lambda: self._blob(namespace, content.digest))
        if len(data) != content.size:
            raise CommandFailed("failed_precondition", f"content {content.digest} is damaged: its size is {len(data)}")
        for start in range(0, len(data), PIECE):
            yield data[start : start + PIECE]

    async def write(
        self,
        namespace: str,
        media_type: str,
        data: Archive,
        *,
        ref: str,
        lease: str,
        labels: Mapping[str, str] = {},  # noqa: ARG002 - they would keep other blobs, which images do here
    ) -> Descriptor:
        """Put a blob into the store; see the port."""
        whole = b"".join([piece async for piece in data])

        def put() -> Descriptor:
            self._demand_lease(namespace, lease)
            return self._put(namespace, media_type, whole)

        return await self._calls.call(f"store {ref} in {namespace}", put)

    # -- images

    async def export_image(self, namespace: str, name: str, *, platforms: Sequence[str] = ()) -> Archive:  # noqa: ARG002
        """Return an image as an archive without layers; see the port."""

        def packed() -> bytes:
            image = self._containerd.images.get((namespace, name))
            if image is None:
                raise Refusal("not_found", f"image {name}: not found")
            manifest, config = manifest_of(image.config)
            entry = {
                "mediaType": MANIFEST,
                "digest": digest_of(manifest),
                "size": len(manifest),
                "annotations": {"io.containerd.image.name": name},
            }
            index = msgspec.json.encode({"schemaVersion": 2, "manifests": [entry]})
            blobs = {f"/blobs/{digest_of(blob).replace(':', '/')}": blob for blob in (manifest, config)}
            return tar_of({"/index.json": index, **blobs})

        data = await self._calls.call(f"look at image {name} in {namespace}", packed)

        async def pieces() -> AsyncIterator[bytes]:
            yield data

        return pieces()

    async def image(self, namespace: str, name: str) -> CheckpointImage:
        """Return a checkpoint's parts; see the port."""

        def found() -> CheckpointImage:
            image = self._containerd.images.get((namespace, name))
            if image is None:
                raise Refusal("not_found", f"image {name}: not found")
            index = msgspec.json.decode(self._containerd.content.get((namespace, image.info.digest), b"{}"))
            parts = [Descriptor(*part) for part in index.get("manifests", [])]
            if not any(part.media_type == CRIU_TAR for part in parts):
                raise Refusal("failed_precondition", f"image {name} holds no dump of a task")
            return CheckpointImage(name=name, manifests=tuple(parts), annotations=index["annotations"])

        return await self._calls.call(f"look at image {name} in {namespace}", found)

    async def make_image(
        self, namespace: str, image: CheckpointImage, *, labels: Mapping[str, str], lease: str
    ) -> None:
        """Write a checkpoint image; see the port."""

        def make() -> None:
            self._demand_lease(namespace, lease)
            index = {"manifests": image.manifests, "annotations": image.annotations}
            written = self._put(namespace, INDEX, msgspec.json.encode(index, order="sorted"))
            there = self._containerd.images.get((namespace, image.name))
            if there is not None:
                if there.info.digest == written.digest:
                    return
                raise Refusal("already_exists", f"image {image.name}: already exists")
            moment = now()
            info = ImageInfo(
                name=image.name,
                digest=written.digest,
                media_type=INDEX,
                labels={**labels, LABEL: "true"},
                created_at=moment,
                updated_at=moment,
            )
            holds = (written.digest, *(part.digest for part in image.manifests))
            self._containerd.put_image(namespace, MemoryImage(info=info, config={}, holds=holds))

        await self._calls.call(f"make image {image.name} in {namespace}", make)

    def pack_spec(self, spec: Mapping[str, Any]) -> bytes:
        """Return a spec as JSON; see the port."""
        return msgspec.json.encode(spec)

    def unpack_spec(self, data: bytes) -> dict[str, Any]:
        """Return the spec of a checkpoint image; see the port."""
        try:
            spec: dict[str, Any] = msgspec.json.decode(data, type=dict[str, Any])
        except msgspec.DecodeError as error:
            raise CommandFailed("failed_precondition", "the checkpoint's spec cannot be read: it is damaged") from error
        return spec

    def unpack_options(self, data: bytes) -> CheckpointOptions:
        """Return the options of a checkpoint image; see the port."""
        try:
            return decoder(_Options).decode(data).options
        except msgspec.DecodeError as error:
            raise CommandFailed("failed_precondition", "the checkpoint's options cannot be read") from error

    def pack_options(self, options: CheckpointOptions, *, ends: bool) -> bytes:
        """Return options as JSON; see the port."""
        return msgspec.json.encode(_Options(exit=ends, options=options))

    # -- inside

    def _dumpable(self, namespace: str, container: str, directory: Path, lease: str) -> MemoryTask:
        self._demand_lease(namespace, lease)
        task = self._calls.task(namespace, container)
        if task.info.status not in {"running", "paused"}:
            raise Refusal("failed_precondition", f"cannot checkpoint a {task.info.status} task: {container}")
        if not directory.is_dir() or any(directory.iterdir()):
            raise Refusal("failed_precondition", f"{directory} is not an empty directory: give one")
        return task

    def _drop(self, namespace: str, container: str) -> None:
        found = self._containerd.containers[namespace, container]
        assert found.task is not None
        if found.task.info.status == "running":
            found.task.signal(9)
        found.task.delete()
        found.task = None

    def _demand_lease(self, namespace: str, lease: str) -> None:
        if (namespace, lease) not in self._containerd.leases:
            raise Refusal("not_found", f"lease {lease}: not found")

    def _blob(self, namespace: str, digest: str) -> bytes:
        data = self._containerd.content.get((namespace, digest))
        if data is None:
            raise Refusal("not_found", f"content {digest} is not in {namespace}")
        return data

    def _put(self, namespace: str, media_type: str, data: bytes) -> Descriptor:
        digest = digest_of(data)
        self._containerd.content[namespace, digest] = data
        return Descriptor(media_type, digest, len(data))
