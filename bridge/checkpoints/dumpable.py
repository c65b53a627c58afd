"""What would fail when a container is dumped, said before it is tried. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import Struct

from bridge.checkpoints.finding import (
    HOST_NETWORK,
    CriuSays,
    binds_of,
    blocks,
    fine,
    found_criu,
    found_space,
    mapping,
    network_of,
    numbers,
    plain,
    risk,
    some,
    unknown,
)
from bridge.model.checkpoints import CheckpointOptions, Finding, HostFacts, Verdict

__all__ = ["ToDump", "before_dump"]

_DUMPABLE: Final = ("running", "paused", "pausing")


class ToDump(Struct, frozen=True, kw_only=True):
    """What is known of a container that is to be dumped. Null, or empty, is what is not known from here.

    Attributes:
        host: the facts of its host, and `criu` what CRIU says of that.
        options: as it would be dumped.
        status: of the task.
        spec: the container's.
        execs: how many processes besides its first one were started in it and run.
        stdio: where its stdio goes: `null`, `bus`, `fifo`, or the scheme of a URI.
        connections: established TCP connections in its network.
        memory: bytes that it has in memory; `space`: bytes that are free where the dump goes.
    """

    host: HostFacts
    criu: CriuSays
    options: CheckpointOptions = CheckpointOptions()
    status: str = ""
    spec: Mapping[str, Any] | None = None
    execs: int | None = None
    stdio: str = ""
    connections: int | None = None
    memory: int | None = None
    space: int | None = None


def before_dump(facts: ToDump) -> Verdict:
    """Say what a dump would come to, one finding for each thing that was looked at."""
    return Verdict(
        findings=[
            found_criu(facts.host, facts.criu),
            _status(facts),
            _execs(facts),
            _network(facts),
            _sockets(facts),
            _tcp(facts),
            _cgroup(facts),
            _terminal(facts),
            _stdio(facts),
            _mounts(facts),
            found_space("its memory", facts.memory, facts.space),
        ]
    )


def _status(facts: ToDump) -> Finding:
    if not facts.status or facts.status == "unknown":
        return unknown("status", "how the task stands is not known", "ask again when containerd answers")
    if facts.status not in _DUMPABLE:
        says = f"there is no memory to dump: the task is {plain(facts.status)}"
        return blocks("status", says, "start the container first")
    return fine("status", f"the task is {facts.status}")


def _execs(facts: ToDump) -> Finding:
    if facts.execs is None:
        return unknown("execs", "whether something else was started in it is not known", "look at its processes")
    if facts.execs:
        many = "a process that was" if facts.execs == 1 else f"{facts.execs} processes that were"
        # CRIU follows children from the first process on; what was started beside it is nobody's child.
        return risk(
            "execs", f"{many} started in it besides will not be in the checkpoint", "wait for its end, or end it"
        )
    return fine("execs", "nothing was started in it besides its first process")


def _network(facts: ToDump) -> Finding:
    match network_of(facts.spec):
        case "unknown":
            return unknown("network", "in which network it is is not known", "look at the container's spec")
        case "host":
            return blocks("network", HOST_NETWORK, "give the container a network of its own")
        case _:
            return fine("network", "it has a network of its own")


def _sockets(facts: ToDump) -> Finding:
    criu, kernel = plain(facts.criu.version or facts.host.criu), plain(facts.host.kernel)
    if not numbers(criu) or not numbers(kernel):
        return unknown("sockets", "whether CRIU knows this kernel's sockets is not known", "compare `criu --version`")
    if numbers(criu) < (4, 2) and numbers(kernel) >= (6, 16):
        says = f"CRIU {criu} cannot dump sockets of TCP and UDP on Linux {kernel}, where it has any, listening ones too"
        return risk("sockets", says, "install CRIU 4.2 or later")
    return fine("sockets", f"CRIU {criu} knows the sockets of Linux {kernel}")


def _cgroup(facts: ToDump) -> Finding:
    if facts.options.cgroups_mode == "strict":
        # runc has made the group before CRIU looks, and in this mode there may be none.
        return blocks("cgroup", "what is dumped with --cgroups-mode strict is never restored", "take another mode")
    return fine("cgroup", "its control groups are dumped with it")


def _tcp(facts: ToDump) -> Finding:
    if facts.options.tcp_established:
        if network_of(facts.spec) == "own":
            says = (
                "established TCP connections are dumped, and can only be closed at a restore: its network is made anew"
            )
            return risk("tcp", says, "give it a network by path, or restore with --tcp-close")
        return fine("tcp", "established TCP connections are dumped")
    if facts.options.tcp_close:
        return fine("tcp", "established TCP connections are closed at the restore")
    if facts.connections is None:
        says = "whether it has established TCP connections is not known; with one it cannot be dumped as asked for"
        return unknown("tcp", says, "use --tcp-established")
    if facts.connections:
        says = f"it has established TCP connections ({facts.connections}), and cannot be dumped with them as asked for"
        return blocks("tcp", says, "use --tcp-established; to move it without them, --tcp-close; or end them")
    return fine("tcp", "it has no established TCP connections")


def _terminal(facts: ToDump) -> Finding:
    if facts.spec is None:
        return unknown("terminal", "whether it has a terminal is not known", "look at the container's spec")
    if mapping(facts.spec, "process").get("terminal") is True:
        return fine("terminal", "it has a terminal, and gets another one at a restore")
    return fine("terminal", "it has no terminal")


def _stdio(facts: ToDump) -> Finding:
    if not facts.stdio:
        return unknown("stdio", "where its output goes is not known", "say at the restore where it is to go")
    if facts.stdio in ("null", "bus", "fifo", "file"):
        return fine("stdio", "its stdio can be made again")
    says = f"its output goes to {plain(facts.stdio)}, which has to be there again at a restore"
    return risk("stdio", says, "say at the restore where it is to go")


def _mounts(facts: ToDump) -> Finding:
    if facts.spec is None:
        return unknown("mounts", "what is mounted into it is not known", "look at the container's spec")
    if binds := binds_of(facts.spec):
        return fine(
            "mounts", f"what the host has at {some(binds)} is not in the checkpoint, and has to be at the target"
        )
    return fine("mounts", "nothing of the host is mounted into it")
