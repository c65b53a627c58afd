"""What comes of running a process, and of asking where its stdio is."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from bridge.model.nanos import Nanos
from bridge.model.stdio import Truncation

__all__ = ["ExecResult", "StreamReport"]


class StreamReport(Struct, frozen=True, kw_only=True):
    """How much of a stream is stored on the bus, and once it has ended, of what.

    Attributes:
        size: how many bytes; what the process wrote, unless `truncated` says that there may have been more.
        ended: whether that is all.
        sha256: of all of them; null before the end, and where nobody can say.
        truncated: why there may have been more; null where nothing is missing.
        captured: the first bytes of it, where the command was to capture them. In JSON this is base 64.
    """

    size: int = 0
    ended: bool = False
    sha256: str | None = None
    truncated: Truncation | None = None
    captured: bytes | None = None


class ExecResult(Struct, frozen=True, kw_only=True):
    """Result of `exec` and `attach`: a process, its session on the bus, and how it ended.

    Attributes:
        exec_id: its name; null for the container's own process.
        session: stands in the headers of its messages, and tells them from those of others of this name.
        key: what input and credits have to carry. It is in the reply to whoever asked, and in no outcome that is kept.
        after: its first messages stand behind this sequence of the stream; 0 for its beginning.
        pid: as containerd's host sees it.
        terminal: whether it has one; then there is no `stderr`.
        stdin: whether it takes input from the bus.
        running: whether it has not ended, or not all of its output is stored yet.
        exit_status: null while it runs, and where nobody knows.
        timed_out: whether it was killed because its time was up.
        stderr: null where it has none.
    """

    exec_id: str | None = None
    session: str
    key: str | None = None
    after: int = 0
    pid: int = 0
    terminal: bool = False
    stdin: bool = False
    running: bool = True
    exit_status: int | None = None
    exited_at: Nanos | None = None
    timed_out: bool = False
    stdout: StreamReport = StreamReport()
    stderr: StreamReport | None = None

    @property
    def bare(self) -> ExecResult:
        """The same without what was captured: that is in the answer alone, and whoever asks later finds it on the bus."""
        stderr = self.stderr and replace(self.stderr, captured=None)
        return replace(self, stdout=replace(self.stdout, captured=None), stderr=stderr)
