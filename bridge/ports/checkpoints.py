"""What control needs to make and to restore checkpoints: CRIU behind containerd, the catalogue, and the migrations under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from msgspec import Struct

from bridge.model.checkpoints import ArchiveFacts, CheckpointKey, CheckpointOptions, CheckpointRecord, HostFacts
from bridge.ports.images import Archive, Descriptor
from bridge.ports.processes import Stdio

__all__ = [
    "CRIU_TAR",
    "CheckpointCatalogue",
    "CheckpointImage",
    "Checkpointer",
    "CriuCheck",
    "OPTIONS_PART",
    "RUNTIME_OPTIONS_PART",
    "RW_LAYER",
    "SPEC_PART",
    "Stored",
]

CRIU_TAR: Final = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
SPEC_PART: Final = "application/vnd.containerd.container.checkpoint.config.v1+proto"
OPTIONS_PART: Final = "application/vnd.containerd.container.checkpoint.options.v1+proto"
RUNTIME_OPTIONS_PART: Final = "application/vnd.containerd.container.checkpoint.runtime.options+proto"
RW_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
"""What the parts of a checkpoint image are (containerd, core/images/mediatypes.go): CRIU's images as an uncompressed tar, the
spec, how it was dumped, the runtime's options, and what the container wrote."""


class CriuCheck(NamedTuple):
    """What CRIU says of its host. `works` is null where it could not be asked from here."""

    version: str
    works: bool | None
    says: str


class CheckpointImage(Struct, frozen=True, kw_only=True):
    """A checkpoint in containerd's image store, in either of the forms that containerd's clients make.

    `manifests` are the index's; `annotations` its own. `ctr` writes `io.containerd.checkpoint.runtime` and `.snapshotter` and
    `org.opencontainers.image.ref.name` there, containerd's `Task.Checkpoint` `image.name`.
    """

    name: str
    manifests: tuple[Descriptor, ...]
    annotations: dict[str, str]


class Checkpointer(Protocol):
    """containerd's way to CRIU, and to the layer that a container wrote. Errors are `CommandFailed`.

    Directories are paths that containerd's host sees as the same ones.
    """

    async def dump(
        self, namespace: str, container: str, directory: Path, options: CheckpointOptions, *, ends: bool, lease: str
    ) -> None:
        """Dump the task, running or paused, into an empty `directory`. It stands as before, or with `ends` has ended.

        CRIU's log stays in `directory.parent / "work"`.

        Raises:
            CommandFailed: `failed_precondition` where CRIU cannot; its message ends with the last lines of CRIU's log. The task
                is as it was before, and no rule in any firewall is left of it.
        """
        ...

    async def restore(
        self,
        namespace: str,
        container: str,
        directory: Path,
        *,
        stdio: Stdio | None = None,
    ) -> int:
        """Make a task from a dump and start it; return its pid, which is never 0.

        How CRIU restores is in the file that the spec's annotation `org.criu.config` names (`criu_config`).

        Raises:
            CommandFailed: the message ends with the last lines of CRIU's log. There is no task then.
        """
        ...

    def criu_config(self, options: CheckpointOptions) -> str:
        """Return the text of a CRIU configuration file with what containerd's API cannot tell CRIU at restore."""
        ...

    async def host(self, namespace: str, runtime: str = "") -> HostFacts:
        """Return what this host is, as far as it is seen from here."""
        ...

    async def check(self) -> CriuCheck:
        """Ask CRIU on containerd's host whether the kernel has what it needs."""
        ...

    async def changes(self, namespace: str, container: str, *, packed: bool = False, lease: str) -> Descriptor | None:
        """Return the layer that the container wrote on top of its image, None where it has no snapshot. Under the lease.

        A plain tar, or with `packed` one compressed with gzip, as a checkpoint image has to have it (`RW_LAYER`).
        """
        ...

    async def apply(self, namespace: str, snapshotter: str, key: str, layer: Descriptor, *, lease: str) -> None:
        """Write a layer, which is in the content store, onto a snapshot."""
        ...

    def read(self, namespace: str, content: Descriptor) -> Archive:
        """Return the bytes of a blob of the content store, checked against its digest before the end."""
        ...

    async def write(
        self, namespace: str, media_type: str, data: Archive, *, ref: str, lease: str, labels: Mapping[str, str] = {}
    ) -> Descriptor:
        """Put a blob into the content store, under the lease; that it is there already is as good."""
        ...

    async def export_image(self, namespace: str, name: str, *, platforms: Sequence[str] = ()) -> Archive:
        """Return an image as an OCI archive, as `import` takes it, so that another node can have it."""
        ...

    async def image(self, namespace: str, name: str) -> CheckpointImage:
        """Return a checkpoint image's index. `failed_precondition` where the image is none."""
        ...

    async def make_image(
        self, namespace: str, image: CheckpointImage, *, labels: Mapping[str, str], lease: str
    ) -> None:
        """Write the index and the image's record; one with the same content is as good, another is `already_exists`.

        The record gets the label by which containerd's clients know checkpoints besides `labels`.
        """
        ...

    def pack_spec(self, spec: Mapping[str, Any]) -> bytes:
        """Return a spec as it stands in a checkpoint image (`SPEC_PART`)."""
        ...

    def unpack_spec(self, data: bytes) -> dict[str, Any]:
        """Return the spec of a checkpoint image; `failed_precondition` where it is none."""
        ...

    def pack_options(self, options: CheckpointOptions, *, ends: bool) -> bytes:
        """Return how a task was dumped as it stands in a checkpoint image (`OPTIONS_PART`)."""
        ...


class Stored(NamedTuple):
    """How far an archive is: bytes that are stored."""

    bytes: int


class CheckpointCatalogue(Protocol):
    """The catalogue of checkpoints on the bus. Errors are `CommandFailed`: `not_found`, `unavailable`, `resource_exhausted`."""

    async def get(self, key: CheckpointKey) -> CheckpointRecord:
        """Return a record. `not_found` where there is none."""
        ...

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CheckpointRecord]:
        """Return the records, the oldest first."""
        ...

    async def put(self, record: CheckpointRecord) -> None:
        """Write a new record. `already_exists` where there is one of that key, unless it has the same id."""
        ...

    async def remove(self, key: CheckpointKey) -> int:
        """Remove a record, then its archive; that there is none is as good. Return how many bytes are free again."""
        ...

    async def store(
        self,
        key: CheckpointKey,
        archive: Callable[[], Archive],
        *,
        upload: str,
        tell: Callable[[int], None],
    ) -> ArchiveFacts:
        """Store an archive in pieces, never whole in memory; one that was broken off goes on where it was.

        Args:
            key: whose archive it is.
            archive: gives the bytes, the same ones each time it is asked.
            upload: what this upload is called; the same one again goes on.
            tell: takes how many bytes are stored.

        Raises:
            CommandFailed: `resource_exhausted` where the quota would be passed; then nothing of it is stored.
        """
        ...

    def load(self, key: CheckpointKey, *, offset: int = 0) -> Archive:
        """Return the bytes of an archive, from `offset` on; compared with its digest before the end where `offset` is 0."""
        ...

    async def sweep(self) -> int:
        """Remove what has expired, and pieces of uploads that nobody goes on with; return how many bytes are free again."""
        ...
