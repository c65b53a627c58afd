"""The verbs that run processes in containers, and that look after the stdio of what runs: exec, attach, resize, close-stdin.

A process runs once for one command: its name is the command's id unless another is given, containerd knows it by that name, and
the journal of sessions knows whose it is. The same command again gets the same process's outcome.

The container's lane is left as soon as the process runs: a shell that is open for hours holds up nobody who wants to stop the
container.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from collections.abc import Mapping
from signal import SIGKILL
from types import MappingProxyType
from typing import Any, Final

from bridge.control.ending import KILLED_WITHIN_S, exit_of
from bridge.control.verb import Place, Verb, record_at, task_at
from bridge.errors import CommandFailed
from bridge.failpoint import failpoint
from bridge.model import labels
from bridge.model.commands import Attach, CloseStdin, Exec, Resize, Start
from bridge.model.identity import check_identifier
from bridge.model.limits import CAPTURED
from bridge.model.outcomes import ContainerInfo, Done, ExecResult, TaskInfo
from bridge.ports import ExpectedSession, SessionOrder, StdioSession, StdioSessions, UserIds

__all__ = [
    "VERBS",
    "as_before",
    "on_the_bus",
    "outcome_of",
    "process_spec",
    "session_for_task",
    "sessions_at",
    "unread",
    "with_unseen_fifos",
]

_CAPABILITY: Final = re.compile(r"CAP_[A-Z_]+")
_VARIABLE: Final = re.compile(r"[^=\0]+")
_NO_PROGRAM: Final = re.compile(r"executable file not found|no such file or directory|not a directory", re.IGNORECASE)
_NOT_ALLOWED: Final = re.compile(r"permission denied|exec format error|is a directory", re.IGNORECASE)


async def exec_(place: Place, command: Exec) -> ExecResult:
    """Run another process in a running container."""
    _check(command)
    sessions = sessions_at(place)
    exec_id = _checked_exec_id(command.exec_id) if command.exec_id is not None else place.command_id
    session = sessions.find(*place.target, exec_id)
    if session is not None and session.command_id != place.command_id and session.result().running:
        raise CommandFailed("already_exists", f"{place} has an exec {exec_id} already: give another exec_id, or none")
    if session is not None and session.command_id == place.command_id:
        await place.permit()  # its process was allowed when it was run
    else:
        session = await _run(place, command, sessions, exec_id)
    await place.leave()
    return session.result() if command.mode == "detached" else await outcome_of(place, session)


async def outcome_of(place: Place, session: StdioSession) -> ExecResult:
    """Wait until an exec has ended and all its output is stored; return the whole of it.

    Raises:
        CommandFailed: `cancelled`: the command was taken back meanwhile, and its process is killed.
    """
    ended = asyncio.ensure_future(session.ended())
    try:
        try:
            await place.interruption.waits(ended)
        except CommandFailed as error:
            raise await _killed(place, session) from error
        return ended.result()
    finally:
        ended.cancel()
        await asyncio.gather(ended, return_exceptions=True)


async def _killed(place: Place, session: StdioSession) -> CommandFailed:
    """Kill an exec and wait for its exit, though not for who reads its output; return what is to be said of it."""
    exec_id = session.result().exec_id
    what = f"exec was cancelled: its process in {place}"
    exited = asyncio.ensure_future(exit_of(place, exec_id))
    await asyncio.sleep(0)  # its call is under way now
    try:
        try:
            await place.runtime.tasks.kill(*place.target, int(SIGKILL), exec_id=exec_id)
        except CommandFailed as error:
            if error.code != "not_found":
                return CommandFailed(error.code, f"{what} could not be killed: {error}", containerd=error.containerd)
            return CommandFailed("cancelled", f"{what} had ended, and its output was not all taken")
        await asyncio.wait({exited}, timeout=KILLED_WITHIN_S)
        if not exited.done():
            return CommandFailed("deadline_exceeded", f"{what} has not ended {KILLED_WITHIN_S:.0f} s after SIGKILL")
        return CommandFailed("cancelled", f"{what} was killed")
    finally:
        exited.cancel()
        await asyncio.gather(exited, return_exceptions=True)


async def _run(place: Place, command: Exec, sessions: StdioSessions, exec_id: str) -> StdioSession:
    record, task = await asyncio.gather(record_at(place), task_at(place))
    if task.status != "running":
        remedy = "resume it first" if task.status in {"paused", "pausing"} else "start it first"
        raise CommandFailed("failed_precondition", f"{place} is {task.status}: {remedy}")
    tasks = place.runtime.tasks
    user = None if command.user is None else await tasks.user(*place.target, command.user)
    spec = process_spec(record, command, user)
    await place.permit(process=spec, own=(record.spec or {}).get("process"), labels=record.labels, image=record.image)
    session = await sessions.open(
        SessionOrder(
            namespace=place.target[0],
            container=place.target[1],
            exec_id=exec_id,
            command_id=place.command_id,
            terminal=command.tty,
            stdin=command.stdin,
            window=command.window,
            capture=CAPTURED if command.mode == "captured" else 0,
            timeout=command.timeout,
        )
    )
    failpoint("session-made")
    try:
        await tasks.exec(*place.target, exec_id, spec, session.stdio)
        failpoint("exec-made")
    except CommandFailed as error:
        if error.code == "already_exists":
            # It is not ours: its end is its owner's to see to.
            await session.abandon(keep_exec=True)
            sentence = f"{place} has an exec {exec_id} already: give another exec_id, or none"
            raise CommandFailed("already_exists", sentence, containerd=error.containerd) from error
        await session.abandon()
        raise
    except BaseException:
        await session.abandon()
        raise
    try:
        await session.start(width=command.width, height=command.height)
    except CommandFailed as error:
        raise _start_failed(place, command, session, error) from error
    return session


def with_unseen_fifos(session: StdioSession, error: CommandFailed) -> CommandFailed:
    """Return why a process of this session did not come to run: that its FIFOs are not seen where it runs, else the error."""
    if not error.containerd or posixpath.dirname(session.stdio.stdout) not in error.containerd:
        return error
    sentence = (
        f"containerd's shims do not see the bridge's FIFOs in {posixpath.dirname(posixpath.dirname(session.stdio.stdout))}: "
        "give `serve --fifo-dir` a directory that both see under the same path"
    )
    return CommandFailed("failed_precondition", sentence, containerd=error.containerd)


def _start_failed(place: Place, command: Exec, session: StdioSession, error: CommandFailed) -> CommandFailed:
    error = with_unseen_fifos(session, error)
    words = error.containerd or ""
    for pattern, why in ((_NO_PROGRAM, "there is no such program in it"), (_NOT_ALLOWED, "it cannot be executed")):
        if error.code == "unknown" and pattern.search(words):
            sentence = f"cannot run {command.args[0]!r} in {place}: {why}"
            return CommandFailed("invalid_argument", sentence, containerd=words)
    return error


def _check(command: Exec) -> None:
    """See that the options make sense together.

    Raises:
        CommandFailed: `invalid_argument`.
    """
    flaw = None
    if not command.args or not command.args[0]:
        flaw = "there is nothing to run: give args, the program first"
    elif any("\0" in text for text in (*command.args, *command.env, *command.env.values(), command.cwd or "")):
        flaw = "a text of a process cannot hold a NUL"
    elif bad := next((name for name in command.env if not _VARIABLE.fullmatch(name)), None):
        flaw = f"{bad!r} cannot be the name of a variable: leave '=' out of it"
    elif command.cwd is not None and not command.cwd.startswith("/"):
        flaw = f"cwd {command.cwd!r} is not absolute: begin it with '/'"
    elif bad := next((name for name in command.capabilities or () if not _CAPABILITY.fullmatch(name)), None):
        flaw = f"{bad!r} is no capability: give names such as CAP_NET_ADMIN"
    elif (command.width or command.height) and not command.tty:
        flaw = "width and height are a terminal's: give tty too, or leave them out"
    if flaw is not None:
        raise CommandFailed("invalid_argument", flaw)


def process_spec(record: ContainerInfo, command: Exec, user: UserIds | None) -> dict[str, Any]:
    """Return the OCI process: the container's own, with what is asked for in its place.

    Raises:
        CommandFailed: `failed_precondition`: the container's spec has no process.
    """
    own = (record.spec or {}).get("process")
    if not isinstance(own, dict):
        raise CommandFailed("failed_precondition", f"the spec of container {record.id} has no process to go by")
    spec: dict[str, Any] = {**own, "args": list(command.args), "terminal": command.tty}
    spec.pop("consoleSize", None)
    spec.pop("commandLine", None)
    if command.tty and command.width and command.height:
        spec["consoleSize"] = {"width": command.width, "height": command.height}
    if command.cwd is not None:
        spec["cwd"] = command.cwd
    env = [text for text in own.get("env") or [] if text.partition("=")[0] not in command.env]
    if command.tty and not any(text.startswith("TERM=") for text in env) and "TERM" not in command.env:
        env.append("TERM=xterm")
    spec["env"] = env + [f"{name}={value}" for name, value in command.env.items()]
    if user is not None:
        spec["user"] = {"uid": user.uid, "gid": user.gid, "additionalGids": list(user.groups)}
        if isinstance(umask := (own.get("user") or {}).get("umask"), int):
            spec["user"]["umask"] = umask
    if command.capabilities is not None:
        names = list(command.capabilities)
        spec["capabilities"] = dict.fromkeys(("bounding", "effective", "permitted"), names)
    return spec


# -- what runs already


async def attach(place: Place, command: Attach) -> ExecResult:
    """Tell where the stdio of a process is on the bus."""
    return (await _session(place, command.exec_id)).result()


async def resize(place: Place, command: Resize) -> Done:
    """Give the terminal of a process another size."""
    exec_id = None if command.exec_id is None else _checked_exec_id(command.exec_id)
    await task_at(place)
    await place.runtime.tasks.resize(*place.target, exec_id, width=command.width, height=command.height)
    return Done()


async def close_stdin(place: Place, command: CloseStdin) -> Done:
    """End the standard input of a process."""
    return Done(already=not await (await _session(place, command.exec_id)).close_stdin())


def sessions_at(place: Place) -> StdioSessions:
    """Return the sessions of this node.

    Raises:
        CommandFailed: `failed_precondition`: it has none.
    """
    if place.sessions is None:
        raise CommandFailed(
            "failed_precondition",
            f"node {place.node} puts no stdio on the bus: `serve --commands exec` or `create` switches it on",
        )
    return place.sessions


async def session_of_task(place: Place) -> StdioSession | None:
    """Return the session of the container's own process, of its last one without a task; None where its stdio is elsewhere.

    A session of an earlier task says nothing of this one, which may have been started without, or by somebody else.
    """
    while place.sessions is not None and (found := place.sessions.find(*place.target, None)) is not None:
        told = found.result()  # before the look at the task: what has ended by now does not run there
        task = await place.runtime.tasks.get(*place.target)
        if place.sessions.find(*place.target, None) is not found:
            continue
        if task is None or not told.pid:  # that one has ended, or is being started
            return found
        another = task.status != "stopped" and (told.exited_at is not None or not told.running)
        return None if another or task.pid not in {0, told.pid} else found
    return None


def unread(place: Place, task: TaskInfo) -> bool:
    """Tell whether a task waits for its start with its stdio in FIFOs of a session that is over: nobody will read them."""
    if task.status != "created" or place.sessions is None or not place.sessions.made(task.stdout):
        return False
    session = place.sessions.find(*place.target, None)
    return session is None or session.stdio.stdout != task.stdout


def on_the_bus(record: ContainerInfo) -> bool:
    """Tell whether the container was created to have the stdio of its tasks there."""
    return record.labels.get(labels.STDIO) == labels.ON_THE_BUS


async def session_for_task(place: Place, record: ContainerInfo, how: Start) -> StdioSession:
    """Open the session of a task that is about to be made."""
    process = (record.spec or {}).get("process")
    session = await sessions_at(place).open(
        SessionOrder(
            namespace=place.target[0],
            container=place.target[1],
            exec_id=None,
            command_id=place.command_id,
            terminal=isinstance(process, dict) and process.get("terminal") is True,
            stdin=how.stdin or record.labels.get(labels.STDIN) == "true",
            window=how.window,
            made_at=record.created_at,
        )
    )
    failpoint("session-made")
    return session


async def as_before(place: Place, task: TaskInfo | None) -> Start:
    """Return how to start the container anew so that it has its stdio where `task` has it."""
    session = None if task is None else await session_of_task(place)
    return Start() if session is None else Start(stdio="bus", stdin=session.result().stdin)


async def _session(place: Place, exec_id: str | None) -> StdioSession | ExpectedSession:
    sessions = sessions_at(place)
    found: StdioSession | ExpectedSession | None
    if exec_id is not None:
        found = sessions.find(*place.target, _checked_exec_id(exec_id))
    else:
        last = await session_of_task(place)
        running = last is not None and last.result().running
        found = last if running else await expected_at(place, sessions, last) or last
    if found is None:
        what = f"{place}" if exec_id is None else f"exec {exec_id} of {place}"
        raise CommandFailed(
            "not_found", f"the stdio of {what} is not on the bus: it does not run, or was not started with it there"
        )
    return found


async def expected_at(place: Place, sessions: StdioSessions, last: StdioSession | None) -> ExpectedSession | None:
    """Return the session of a container's own process that is to come, from now on if there was none; None where none is.

    A container whose last run is known tells of that one until it is started again.
    """
    namespace, container = place.target
    try:
        record, task = await asyncio.gather(
            place.runtime.containers.get(namespace, container), place.runtime.tasks.get(namespace, container)
        )
    except CommandFailed as error:
        if error.code == "not_found":
            return None
        raise
    ran = last is not None and last.made_at in {None, record.created_at}
    if task is not None or ran or not on_the_bus(record):
        return None
    process = (record.spec or {}).get("process")
    order = SessionOrder(
        namespace=namespace,
        container=container,
        exec_id=None,
        command_id=place.command_id,
        terminal=isinstance(process, dict) and process.get("terminal") is True,
        stdin=record.labels.get(labels.STDIN) == "true",
        made_at=record.created_at,
    )
    try:
        return await sessions.expect(order)
    except CommandFailed as error:
        if error.code != "exhausted" or not await _swept(place, sessions):
            raise
    return await sessions.expect(order)


async def _swept(place: Place, sessions: StdioSessions) -> bool:
    """Give up what is kept for containers that others have deleted; return whether there was any."""
    gone = []
    for namespace, container, made_at in sessions.all_expected():
        try:
            there = (await place.runtime.containers.get(namespace, container)).created_at
        except CommandFailed as error:
            if error.code != "not_found":
                raise
            there = None
        if there != made_at:
            gone.append((namespace, container))
    for namespace, container in gone:
        await sessions.forget(namespace, container)
    return bool(gone)


def _checked_exec_id(exec_id: str) -> str:
    try:
        return check_identifier(exec_id, "exec id")
    except ValueError as error:
        raise CommandFailed("invalid_argument", str(error)) from error


VERBS: Mapping[str, Verb] = MappingProxyType(
    {Exec.verb: exec_, Attach.verb: attach, Resize.verb: resize, CloseStdin.verb: close_stdin}
)
"""Verb -> coroutine."""
