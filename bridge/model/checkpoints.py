"""A checkpoint as the catalogue knows it: what was dumped, where, how, and what a host needs to restore it.

The catalogue is the bucket `containerd-checkpoints`; a record's key is `<node>.<namespace>.<container>.<name>`, of the node
that made it, and its archive is the object of the same name in the object store of the same name. A record without its
archive, or an archive without its record, is nothing that can be restored.

What is in a checkpoint is the memory of processes, passwords and keys included, so an archive is a secret; the record is not: it
holds no environment, no arguments and no file names of the container's.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from bridge.model.nanos import Nanos
from bridge.model.subjects import joined, parted

__all__ = [
    "ArchiveFacts",
    "CgroupsMode",
    "CheckpointKey",
    "CheckpointName",
    "CheckpointOptions",
    "CheckpointRecord",
    "CriuStats",
    "EmptyNamespace",
    "Finding",
    "HostFacts",
    "Listening",
    "Verdict",
    "is_checkpoint_name",
]

# `$` alone would let a newline pass at the end, and a name goes into keys, file names and log lines.
_NAME: Final = r"^[A-Za-z0-9][A-Za-z0-9_.-]*(?!\n)$"
CheckpointName: TypeAlias = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=_NAME,
        description="letters, digits, '_', '.' and '-', a letter or digit first",
    ),
]
EmptyNamespace: TypeAlias = Literal["network"]
"""A namespace that is not dumped, and made anew by whoever restores. CRIU knows how to leave out the network alone."""

CgroupsMode: TypeAlias = Literal["", "ignore", "soft", "full", "strict"]
"""What CRIU does about control groups at restore (`--manage-cgroups`); empty for the runtime's own default, `soft`."""


def is_checkpoint_name(text: str) -> bool:
    """Tell whether `text` can be the name of a checkpoint."""
    return len(text) <= 64 and re.match(_NAME, text) is not None


class CheckpointKey(NamedTuple):
    """What a checkpoint is called: the node that made it, of which container, and its name among that container's."""

    node: str
    namespace: str
    container: str
    name: str

    @property
    def token(self) -> str:
        """The key of its record, and the name of its object."""
        return joined(self)

    @classmethod
    def parse(cls, token: str) -> CheckpointKey:
        """Read what `token` gives.

        Raises:
            ValueError: it is no key of a checkpoint.
        """
        key = cls(*parted(token, len(cls._fields), "is no checkpoint: NODE.NAMESPACE.CONTAINER.NAME is"))
        if not is_checkpoint_name(key.name):
            raise ValueError(f"{key.name!r} is no name of a checkpoint: letters, digits, '_', '.' and '-' are in one")
        return key


class CheckpointOptions(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How CRIU is to dump, and again to restore: they stand in the record, and a restore applies them once more.

    Attributes:
        tcp_established: dump established TCP connections, which stop until they are restored.
        tcp_close: at restore: let established connections be closed, as a clone needs it.
        tcp_skip_in_flight: leave out connections that are not established yet.
        file_locks: dump locks on files.
        ext_unix: dump unix sockets whose other end is outside of the container.
        terminal: the container has a terminal (`shell_job` in CRIU).
        link_remap: dump open files that have no name any more.
        empty_ns: namespaces that are not dumped.
        cgroups_mode: what is done about control groups at restore.
    """

    tcp_established: bool = False
    tcp_close: bool = False
    tcp_skip_in_flight: bool = False
    file_locks: bool = True
    ext_unix: bool = False
    terminal: bool = False
    link_remap: bool = False
    empty_ns: list[EmptyNamespace] = []
    cgroups_mode: CgroupsMode = ""


class HostFacts(Struct, frozen=True, kw_only=True):
    """What of a host decides whether a checkpoint can be restored on it. Empty or null where it is not known from here.

    Attributes:
        hostname: what it calls itself.
        os: its operating system's name and version (os-release, PRETTY_NAME).
        arch: as Go and OCI call it, `amd64`.
        kernel: its release, `6.18.1`.
        cpu_model: its first processor.
        cpu_flags: what that can do (`flags` in /proc/cpuinfo), sorted.
        cgroup: `v1` or `v2`.
        criu: version, `4.2.1`.
        containerd: version.
        runtime: name of the runtime, and `runtime_version` its version.
        lsm: security modules that are on.
    """

    hostname: str = ""
    os: str = ""
    arch: str = ""
    kernel: str = ""
    cpu_model: str = ""
    cpu_flags: list[str] = []
    cgroup: Literal["", "v1", "v2"] = ""
    criu: str = ""
    containerd: str = ""
    runtime: str = ""
    runtime_version: str = ""
    lsm: list[str] = []


class Listening(Struct, frozen=True, kw_only=True):
    """Where somebody takes connections, or datagrams, in a network.

    Attributes:
        protocol: which.
        address: as text; `0.0.0.0` and `::` are every one.
        port: its number.
    """

    protocol: Literal["tcp", "udp"]
    address: str
    port: int


class CriuStats(Struct, frozen=True, kw_only=True):
    """What CRIU measured while it dumped (`stats-dump`). Times in microseconds, of one page the size is 4 KiB.

    Attributes:
        freezing_us: until everything stood still.
        frozen_us: for which it stood still.
        memdump_us: of that, for reading memory.
        memwrite_us: of that, for writing it.
        pages_scanned: pages looked at.
        pages_written: pages in the dump.
        pages_skipped: pages that an earlier dump has.
    """

    freezing_us: int = 0
    frozen_us: int = 0
    memdump_us: int = 0
    memwrite_us: int = 0
    pages_scanned: int = 0
    pages_written: int = 0
    pages_skipped: int = 0


class ArchiveFacts(Struct, frozen=True, kw_only=True):
    """An archive as it is stored.

    Attributes:
        size: bytes as stored.
        digest: `sha256:` and 64 hex digits of these bytes.
        unpacked: bytes of all files in it.
        compression: how it is compressed.
        key: fingerprint of the key that it is encrypted with, empty where it is not.
    """

    size: int
    digest: str
    unpacked: int
    compression: Literal["zstd", "none"] = "zstd"
    key: str = ""


class CheckpointRecord(Struct, frozen=True, kw_only=True):
    """One checkpoint in the catalogue.

    Attributes:
        id: the command that made it.
        node: where; `namespace`, `container` and `name` are the rest of its key.
        image: the container's image by name, `image_digest` by digest; empty where it has none.
        rw: whether what the container wrote to its file system is in the archive.
        exited: whether the container was ended by it.
        status: how the task stood before.
        incarnation: of which life of the container's task; null where nobody followed it.
        parent: key of the checkpoint that this container was itself restored from.
        stdio: where the task's stdio went: `null`, `bus`, `fifo`, or the scheme of a URI; with `stdin` and `tty`.
        labels: of the container.
        listens: where its processes listened; null where nobody has looked: in a network of its own no port is taken.
        interrupted_ns: for how long the container stood still by our clock: pause to resume, all in all.
        imported: whether somebody brought it from elsewhere, so that it says itself what it is; restored only by who trusts it.
        expires_at: removed after this, null for never.
    """

    id: str
    node: str
    namespace: str
    container: str
    name: str
    created_at: Nanos
    archive: ArchiveFacts
    options: CheckpointOptions = CheckpointOptions()
    host: HostFacts = HostFacts()
    stats: CriuStats | None = None
    image: str = ""
    image_digest: str = ""
    snapshotter: str = ""
    runtime: str = ""
    rw: bool = True
    exited: bool = False
    status: str = ""
    incarnation: str | None = None
    parent: str = ""
    stdio: str = "null"
    stdin: bool = False
    tty: bool = False
    labels: dict[str, str] = {}
    listens: list[Listening] | None = None
    interrupted_ns: int | None = None
    imported: bool = False
    expires_at: Nanos | None = None

    @property
    def key(self) -> CheckpointKey:
        """What it is called."""
        return CheckpointKey(self.node, self.namespace, self.container, self.name)


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that was looked at before a dump or a restore.

    Attributes:
        check: what, in one word: `criu`, `kernel`, `cpu`, `cgroup`, `image`, `namespaces`, `tcp`, `execs`, `mounts` ...
        level: `ok`; `unknown` where it cannot be seen from here; `risk` where it may fail; `blocks` where it will.
        says: a sentence: what was found.
        way_out: what to do about it; empty for `ok`.
    """

    check: str
    level: Literal["ok", "unknown", "risk", "blocks"]
    says: str
    way_out: str = ""


class Verdict(Struct, frozen=True, kw_only=True):
    """What all findings come to. It is `ok` while none blocks."""

    findings: list[Finding]

    @property
    def ok(self) -> bool:
        """Whether nothing is known that will fail."""
        return not self.blocking

    @property
    def blocking(self) -> list[Finding]:
        """What will fail."""
        return [one for one in self.findings if one.level == "blocks"]
