"""The daemon with something wrong in it, for tests only: `python -m tests.faults.broken NAME[+NAME] serve ...`.

Each name patches one thing in this process and then the real daemon runs. Five are mistakes that are easy to make and that a
test which counts events does not find; the suite has to find them all. `impatient` is no mistake: it shortens waiting, so that a
dead connection costs a test one second and not thirty.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from bridge import daemon, database, watch
from bridge._pb.containerd.services.events_pb2 import Events, SubscribeRequest
from bridge.capture.delivery import Delivery
from bridge.capture.feed import Feed
from bridge.capture.outbox import Outbox
from bridge.cli import main
from bridge.containerd.channel import blocking_channel
from bridge.containerd.source import ContainerdSource
from bridge.containerd.subscription import ContainerdSubscription
from bridge.containerd.tasks import Tasks
from bridge.control import aftermath, conditions
from bridge.control.journal_file import JournalFile
from bridge.control.once import Once
from bridge.errors import LogRefused, LogUnavailable, SourceLost
from bridge.jetstream import connection, fast_ingest, lanes, lease
from bridge.jetstream.client import Client
from bridge.jetstream.log import open_log
from bridge.jetstream.publisher import header
from bridge.model.outcomes import Done, ExecResult
from bridge.ports import Entry
from bridge.stdio.output import Output
from tests.faults.disk import record_changes
from tests.faults.subject import CLOCK
from tests.fix_bridge import UNHURRIED_S


def set_constant(module: object, name: str, value: object) -> None:
    """Change a constant that is there; one that was renamed must not be changed in vain."""
    assert hasattr(module, name), f"{module} has no {name} any more"
    setattr(module, name, value)


def set_default(function: Any, name: str, value: object) -> None:
    """Change the default of a keyword argument that is there."""
    assert name in function.__kwdefaults__, f"{function} has no {name} any more"
    function.__kwdefaults__[name] = value


def impatient() -> None:
    """Wait shorter."""
    set_constant(connection, "PING_S", 1)
    set_constant(fast_ingest, "PATIENCE_S", 0.3)
    set_constant(fast_ingest, "STALL_S", 1.0)
    set_constant(fast_ingest, "CONFIRM_S", 1.0)
    set_constant(lanes, "PATIENCE_S", 1.0)
    set_default(Feed.__init__, "heartbeat_s", 1.0)
    set_default(ContainerdSource.__init__, "probe_timeout_s", 2.0)


def auditing() -> None:
    """Compare log and states every few seconds with what is: containerd 2.1 does not always say that a task is deleted."""
    os.environ["CONTAINERD_BRIDGE_AUDIT_S"] = "2"


def unhurried() -> None:
    """Take a minute for a stop, and not the seconds that a supervisor gives: a machine that does much else may need it."""
    set_constant(watch, "STOP_S", UNHURRIED_S)


def stepped() -> None:
    """Have a wall clock of one's own: the machine's, and what a file adds to it. To come before what keeps the clock.

    The bridge's own code has it. grpc says by `time.time` when a call is to end, to C code that looks at the machine's clock.
    """
    file = Path(os.environ[CLOCK])
    seconds, nanoseconds = time.time, time.time_ns

    def wrong_by() -> int:
        return int(file.read_text()) if sys._getframe(2).f_globals["__name__"].startswith("bridge.") else 0

    set_constant(time, "time", lambda: seconds() + wrong_by())
    set_constant(time, "time_ns", lambda: nanoseconds() + wrong_by() * 1_000_000_000)


def recorded() -> None:
    """Note what SQLite writes and syncs, for a disk whose power is cut."""
    record_changes()


# -- the mistakes


def pipelined() -> None:
    """Publish without waiting, and afterwards publish again what was not acknowledged: behind what was."""

    async def broken(*arguments: Any, **options: Any) -> Any:
        event_log: Any = await open_log(*arguments, **options)
        client = event_log._connection.client
        inbox = client.new_inbox()
        acknowledged: set[str] = set()

        async def on_answer(message: Any) -> None:
            acknowledged.add(message.subject.rpartition(".")[2])

        async def append(entries: Sequence[Entry]) -> int:
            missing = list(entries)
            while missing:
                for start in range(0, len(missing), 20):
                    with contextlib.suppress(Exception):  # the client is reconnecting: that will be for the retry
                        for entry in missing[start : start + 20]:
                            head = header(entry.id).encode()
                            sizes = f"{len(head)} {len(head) + len(entry.body)}"
                            line = f"HPUB {entry.subject} {inbox}.{entry.n} {sizes}\r\n".encode()
                            client.send(line + head + entry.body + b"\r\n")
                    await asyncio.sleep(0.005)
                await asyncio.sleep(0.1)
                missing = [entry for entry in missing if str(entry.n) not in acknowledged]
            return 0

        await client.subscribe(f"{inbox}.>", cb=on_answer)
        event_log.append = append
        return event_log

    set_constant(daemon, "open_log", broken)


def unproven() -> None:
    """Believe that a subscription is live because it was asked for."""
    proven = ContainerdSubscription.probe

    async def broken(self: Any) -> int:
        if not getattr(self, "_believed", False):
            self._believed = True
            return 0
        return await proven(self)

    set_constant(ContainerdSubscription, "probe", broken)


QUIET_S: Final = 0.2


def cancelling() -> None:
    """Read with a time-out. In gRPC that ends the call, so the next read is one on another subscription."""

    def read(self: Any) -> None:
        lost = SourceLost("closed")
        heard = time.monotonic()

        def give_up() -> None:
            nonlocal heard
            while not self._over.done():
                time.sleep(0.01)
                if time.monotonic() - heard > QUIET_S:
                    heard = time.monotonic()
                    self._channel.close()

        threading.Thread(target=give_up, daemon=True).start()
        while not self._over.done():
            with contextlib.suppress(grpc.RpcError, ValueError):
                for wire in self._stream:
                    heard = time.monotonic()
                    self._take(wire)
            if not self._over.done():
                time.sleep(0.1)  # as whoever connects again does, who does not want to do it in a tight loop
                self._channel = blocking_channel(self._address)
                self._publish = Events.Publish.bind(self._channel)
                self._stream = Events.Subscribe.bind(self._channel, raw=True)(SubscribeRequest(filters=self._filters))
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._end, lost)

    set_constant(ContainerdSubscription, "_read", read)


def deleting() -> None:
    """Stop by throwing away first and looking whether all is delivered afterwards."""
    close = Outbox.close

    async def settled(self: Delivery, _worth: Callable[[], bool] | None = None) -> None:
        self.position = self.last_n

    def broken(self: Any) -> None:
        if self._db is not None:
            self._db.execute("DELETE FROM entries")
            self._db.execute("UPDATE meta SET value = ? WHERE key = 'acknowledged'", (self.last_n,))
        close(self)

    set_constant(Delivery, "settled", settled)
    set_constant(Outbox, "close", broken)


def marking() -> None:
    """Note that the log has events before it says so. To be run with an outbox that keeps nothing that is noted."""

    async def deliver(self: Any) -> None:
        entries = await self._next()
        self._advance(entries[-1].n)
        while True:
            try:
                await self._log.append(entries)
                break
            except (LogUnavailable, LogRefused):
                await asyncio.sleep(0.1)

    set_constant(Delivery, "_deliver", deliver)


def _synchronous(how: str) -> Callable[[], None]:
    """Return a patch that lets the outbox return from a commit before the disk has it, now and then or always."""

    def patch() -> None:
        prepare = database._prepare

        def broken(kind: Any, db: Any, path: Any) -> Any:
            meta = prepare(kind, db, path)
            db.execute(f"PRAGMA synchronous = {how}")
            return meta

        set_constant(database, "_prepare", broken)

    return patch


def wall_clock() -> None:
    """Tell by the wall clock how long a lease holds."""
    set_constant(lease, "_seconds", time.time)


def forgetful() -> None:
    """Do what comes, whether it was done before or not."""
    accept, finish = JournalFile.accept, JournalFile.finish

    def forget(self: Any, row: Any) -> None:
        self._db.execute("DELETE FROM commands WHERE id = ?", (row.id,))

    def look(_self: Any, _command_id: str) -> None:
        return None

    def accepted(self: Any, row: Any) -> Any:
        forget(self, row)
        return accept(self, row)

    def finished(self: Any, row: Any, outcome: Any) -> Any:
        forget(self, row)
        return finish(self, row, outcome)

    set_constant(JournalFile, "look", look)
    set_constant(JournalFile, "accept", accepted)
    set_constant(JournalFile, "finish", finished)


def hasty() -> None:
    """Say how a process ended without waiting for the rest of its output."""

    async def drain(self: Any) -> None:
        self._spool.finish()
        self.close_fifo()

    set_constant(Output, "drain", drain)


def endless() -> None:
    """Close our end of a process's input, and do not say so to its shim, which has one too."""

    async def closed(_self: Any, *_key: Any) -> None:
        return

    set_constant(Tasks, "close_stdin", closed)


def grabbing() -> None:
    """Begin every job that the stream gives, whoever may have begun it before."""

    async def nobody(_self: Any, _bus: Any, _running: Any) -> None:
        return None

    set_constant(Once, "_by_another", nobody)


def undated() -> None:
    """Take a container for the one that was meant because it has its name."""

    async def check(_place: Any, _command: Any, _now: Any) -> None:
        return

    set_constant(conditions, "check", check)


def resigned() -> None:
    """Wait an hour before the third attempt to connect again, and do not end meanwhile."""
    choose = Client.next_server

    def next_server(self: Any, pool: Any, info: Any) -> Any:
        server, pause = choose(self, pool, info)
        self._tries = getattr(self, "_tries", 0) + 1
        return server, (pause if self._tries < 3 else 3_600.0)

    set_constant(Client, "next_server", next_server)


def resolute() -> None:
    """End every command that a crash left open as `ok`: it had been begun, after all."""

    async def recover(_place: Any, command: Any, _started_at: Any, *, until: Any) -> Any:
        return ExecResult(session="?") if command.verb == "exec" else Done()

    set_constant(aftermath, "recover", recover)


PATCHES: Final[dict[str, Callable[[], None]]] = {
    "impatient": impatient,
    "auditing": auditing,
    "recorded": recorded,
    "stepped": stepped,
    "unhurried": unhurried,
    "pipelined": pipelined,
    "unproven": unproven,
    "cancelling": cancelling,
    "deleting": deleting,
    "forgetful": forgetful,
    "endless": endless,
    "grabbing": grabbing,
    "hasty": hasty,
    "resigned": resigned,
    "resolute": resolute,
    "undated": undated,
    "marking": marking,
    "wall-clock": wall_clock,
    "syncing-seldom": _synchronous("NORMAL"),
    "syncing-never": _synchronous("OFF"),
}

if __name__ == "__main__":
    for _name in sys.argv.pop(1).split("+"):
        PATCHES[_name]()
    sys.exit(main())
