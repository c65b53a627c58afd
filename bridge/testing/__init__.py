"""containerd and the bus in memory, behind the ports of the real ones, and held to the same contract tests.

Everything here is for tests, yours too: nothing needs root, a socket or a second.

    MemoryContainerd   a containerd: add containers, let them end, take it down (`Program` says what a container runs)
    MemoryLog          the log of events: append, read, follow; lose acknowledgements
    MemoryDurable      the log read under names whose places are kept
    Scribe             writes events into a log as a bridge would
    Recording          a log that was recorded, replayed with `Faults`
    MemoryStates       the states of containers: write, read, follow
    MemoryNodes        the nodes' records and leases
    MemoryStdio        output and input of processes; `MemoryStdioOfNodes` those of several nodes
    MemoryBus          the command plane: inboxes of nodes and a sender
    MemoryCommands     how commands stand: write, read, wait
    MemoryJobs         durable jobs: send, take, put aside
    MemoryMigrations   the register of migrations: read, compare and set
    MemoryCheckpoints  the catalogue of checkpoints: records and archives

A consumer of events is tested against a log that says what the test wants:

    log = MemoryLog()
    scribe = Scribe(log, "web1")
    bus = bridge.client.Bus(log, MemoryBus(), log.subjects)
    await scribe.record(TaskOOM(container_id="web.1"), namespace="default", container="web.1")

A program that also commands is tested on a whole bridge in memory: `bridge.rehearsal`.
"""

from bridge.testing.bus import MemoryBus
from bridge.testing.checkpoints import MemoryCheckpoints
from bridge.testing.commands import MemoryCommands
from bridge.testing.containerd import MemoryContainerd
from bridge.testing.durable import MemoryDurable
from bridge.testing.jobs import MemoryJobs
from bridge.testing.log import MemoryLog
from bridge.testing.migrations import MemoryMigrations
from bridge.testing.nodes import MemoryNodes
from bridge.testing.program import Program
from bridge.testing.recording import Faults, Recording
from bridge.testing.scribe import Scribe
from bridge.testing.states import MemoryStates
from bridge.testing.stdio import MemoryStdio, MemoryStdioOfNodes

__all__ = [
    "Faults",
    "MemoryBus",
    "MemoryCheckpoints",
    "MemoryCommands",
    "MemoryContainerd",
    "MemoryDurable",
    "MemoryJobs",
    "MemoryLog",
    "MemoryMigrations",
    "MemoryNodes",
    "MemoryStates",
    "MemoryStdio",
    "MemoryStdioOfNodes",
    "Program",
    "Recording",
    "Scribe",
]
