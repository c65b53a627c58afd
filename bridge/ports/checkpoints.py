"""What control needs to make and to restore checkpoints: CRIU behind containerd, the catalogue, and the migrations under way."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Protocol

from msgspec import Struct

from bridge.model.checkpoints import (
    ArchiveFacts,
    CheckpointKey,
    CheckpointOptions,
    CheckpointRecord,
    HostFacts,
    Listening,
)
from bridge.ports.images import Archive, Descriptor
from bridge.ports.processes import Stdio

__all__ = [
    "CRIU_TAR",
    "CheckpointCatalogue",
    "CheckpointImage",
    "Checkpointer",
    "CriuCheck",
    "Keeping",
    "OPTIONS_PART",
    "RUNTIME_OPTIONS_PART",
    "RW_LAYER",
    "SPEC_PART",
    "TRIES",
]

CRIU_TAR: Final = "application/vnd.containerd.container.criu.checkpoint.criu.tar"
SPEC_PART: Final = "application/vnd.containerd.container.checkpoint.config.v1+proto"
OPTIONS_PART: Final = "application/vnd.containerd.container.checkpoint.options.v1+proto"
RUNTIME_OPTIONS_PART: Final = "application/vnd.containerd.container.checkpoint.runtime.options+proto"
RW_LAYER: Final = "application/vnd.oci.image.layer.v1.tar+gzip"
"""What the parts of a checkpoint image are (containerd, core/images/mediatypes.go): CRIU's images as an uncompressed tar, the
spec, how it was dumped, the runtime's options, and what the container wrote."""


TRIES: Final = 3
"""How often a dump is tried that meets a process at a bad moment: each costs ten seconds, which CRIU waits for."""


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

        CRIU's log stays in `directory.parent / "work"`. Nothing stops CRIU, so a cancelled dump is waited for; one that is
        cancelled twice is not. Of the options, `link_remap` and `tcp_skip_in_flight` are told to CRIU only by `criu_config` in
        the file that the annotation of the task's spec names.

        A task that runs is dumped again where CRIU has met a process at a moment at which nothing stops it, up to `TRIES` times.

        Raises:
            BadMoment: `failed_precondition`: so it was with one that is paused, or each time. A paused one meets the same again
                unless it runs on for a moment first. `directory` is empty again.
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
        start: Callable[[], Awaitable[int]] | None = None,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Make a task from a dump and start it; return its pid, which is never 0.

        How CRIU restores is in the file that the spec's annotation `org.criu.config` names (`criu_config`).

        Args:
            namespace: where the container is.
            container: whose record is there, with a snapshot as it was at the dump, and which has no task.
            directory: the dump.
            stdio: as in `Tasks.create`; its FIFOs are opened at the start here.
            start: starts the task once it is made; as `Tasks.start` does it unless given.
            before: asked once the task is made, right before a process of it can run; what it raises ends the restore.

        Raises:
            CommandFailed: the message ends with the last lines of CRIU's log. There is no task then, nor when it is cancelled.
        """
        ...

    async def until_over(self, directory: Path) -> Literal["finished", "failed", "unknown"]:
        """Wait, after a crash, until nobody dumps into this directory or restores from it any more: nothing stops CRIU.

        Return how the dump ended by CRIU's log: `finished` is whole. `unknown` where the log does not say, or there is none.
        `deadline_exceeded` where that takes half an hour.
        """
        ...

    async def connections(self, namespace: str, container: str) -> int | None:
        """Return how many established TCP connections a task has; None where that is out of sight."""
        ...

    async def hold_network(self, namespace: str, container: str) -> None:
        """Let nothing pass in the network that a container's spec names by path, in or out; in any other nothing is done.

        So nobody answers for its connections, or closes them, when a frozen task ends whose copy goes on elsewhere. It stays so
        until `release_network`, or until a task was restored in that network. Twice is as good as once.

        Raises:
            CommandFailed: `failed_precondition`: it cannot be done from here.
        """
        ...

    async def release_network(self, namespace: str, container: str) -> None:
        """Let pass what is held up; that nothing is, or that the network is gone, is as good.

        Raises:
            CommandFailed: `unavailable`: it cannot be done from here now; says how it is done there.
                `not_found`: there is no such container.
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

    async def missing(self, paths: Sequence[str]) -> Sequence[str] | None:
        """Return which of these paths lead to nothing on containerd's host, None where that cannot be seen from here."""
        ...

    async def listening(self, network: str = "") -> Sequence[Listening] | None:
        """Return where anybody listens in a network, None where that cannot be seen from here.

        Args:
            network: a namespace by its path on containerd's host; that host's own without.
        """
        ...

    async def listens(self, namespace: str, container: str) -> Sequence[Listening] | None:
        """Return where the processes of a task listen, None where that cannot be seen from here."""
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

    def unpack_options(self, data: bytes) -> CheckpointOptions:
        """Return how a task was dumped, of a checkpoint image; `failed_precondition` where it says nothing of the kind."""
        ...

    def pack_options(self, options: CheckpointOptions, *, ends: bool) -> bytes:
        """Return how a task was dumped as it stands in a checkpoint image (`OPTIONS_PART`)."""
        ...


class Keeping(NamedTuple):
    """What of a node is kept in the catalogue, and for how long.

    Attributes:
        max_bytes: of all its archives together, 0 for no limit.
        most: checkpoints of one container, beyond which its oldest go; 0 for no limit.
        max_age_s: after which a checkpoint expires whose maker did not say; 0 for never.
        abandoned_s: after which pieces that belong to nothing are taken for left over.
    """

    max_bytes: int = 0
    most: int = 0
    max_age_s: int = 0
    abandoned_s: float = 86_400.0


class CheckpointCatalogue(Protocol):
    """The catalogue of checkpoints on the bus.

    Errors are `CommandFailed`: `not_found`, `already_exists`, `exhausted` (a quota, or the store is full), `failed_precondition`
    (what stands there is damaged, or encrypted with a key that is not here), `refused` (NATS does not permit it), `unavailable`.
    """

    async def get(self, key: CheckpointKey) -> CheckpointRecord:
        """Return a record. `not_found` where there is none."""
        ...

    async def list(
        self, *, node: str | None = None, namespace: str | None = None, container: str | None = None
    ) -> Sequence[CheckpointRecord]:
        """Return the records, the oldest first. What stands there and is no record is left out."""
        ...

    async def put(self, record: CheckpointRecord) -> CheckpointRecord:
        """Write a new record and return it as it stands, with the time at which it expires.

        `already_exists` where there is one of that key, unless it has the same id. What is then too many of its container goes,
        the oldest first.
        """
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

        An archive of that key that no record names is replaced, once this one is whole. Of the facts that come back `unpacked`
        is 0: only who packed it knows.

        Args:
            key: whose archive it is.
            archive: gives the bytes, the same ones each time it is asked; where it does not, all is stored anew.
            upload: what this upload is called: the id of the record that will be put. The same one again goes on.
            tell: takes how many bytes are stored; returns at once and never raises.

        Raises:
            CommandFailed: `exhausted` where the quota would be passed; then nothing of it is stored. `already_exists` where there
                is a record of that key with another id, or another upload of that key was whole before this one. `unavailable`
                leaves what is stored, for another try; and what `archive` raises.
        """
        ...

    async def abandon(self, key: CheckpointKey, *, upload: str) -> int:
        """Remove what an upload has stored that nobody goes on with, whole or not; return how many bytes are free again."""
        ...

    def load(self, key: CheckpointKey, *, offset: int = 0, expected: str = "") -> Archive:
        """Return the bytes of an archive, from `offset` on; its record need not be there.

        The end does not come before all of it was compared with its digest, where `offset` is 0. `failed_precondition` where it
        is damaged, or is not the one that is expected.

        Args:
            key: whose archive it is.
            offset: how much of it is left out.
            expected: the digest of what is stored (`ArchiveFacts.digest`), as whoever reads knows it. Without, that of the record
                if there is one. So an archive that somebody has put in its place is not read for it.
        """
        ...

    async def store_image(
        self, digest: str, archive: Callable[[], Archive], *, upload: str, tell: Callable[[int], None]
    ) -> int:
        """Store the archive of an image, for who restores a checkpoint where the image is not; return its size as stored.

        It is shared by all checkpoints whose records name the digest. That it is there already is as good, unless it is
        encrypted with another key than ours by now: that key is to go once no record names it. Once no record names the
        image, it goes with the sweep, a day after it was last stored.

        Args:
            digest: the image's, `sha256:` and hex digits.
            archive: gives the bytes. Where they are not the same ones each time, it is not taken up where it was broken off.
            upload: as in `store`.
            tell: takes how many bytes are stored; returns at once and never raises.
        """
        ...

    def load_image(self, digest: str) -> Archive:
        """Return the bytes of an image's archive; `not_found` where there is none. As for `load`."""
        ...

    async def sweep(self) -> int:
        """Remove what has expired, and pieces of uploads that nobody goes on with; return how many bytes are free again."""
        ...
