"""What is done inside containerd's namespaces, by a process of its own: started by `Visits`, never imported for anything else.

    python -I -S visitor.py '{"namespaces": {"net": "/proc/7/ns/net", ...}, "steps": [["run", "criu", "check"]]}'

A process that enters a mount namespace is in another file system from then on, so everything is imported before. It writes
one line of JSON: a result for each step, or what went wrong, and the rest is up to who started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import json
import os
import socket
import stat
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

ORDER: Final = ("net", "cgroup", "pid", "mnt")
"""The mount namespace last: with it the paths of the others are gone. The PID namespace is that of children only."""

CHAIN: Final = "CRIU"
"""What CRIU calls its chain of rules that let nothing pass while it works (criu, criu/netfilter.c)."""

MARK: Final = "0xc114"
"""What may pass all the same: CRIU's own packets."""

HELD: Final = "CONTAINERD-BRIDGE"
"""Our chain, and table, that lets nothing pass: CRIU takes its own away when it has dumped."""

UNCONNECTED: Final = ("03", "06", "07", "0A")
"""States of TCP sockets (include/net/tcp_states.h) of no connection, or of no process: CRIU dumps them as they are."""

LISTENING: Final = {"tcp": "0A", "tcp6": "0A", "udp": "07", "udp6": "07"}
"""Tables of sockets, and the state there of those that take what comes from anybody."""

MAPPED: Final = bytes(10) + b"\xff\xff"
"""What an address of IPv4 begins with where it is written as one of IPv6."""

SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1


def enter(namespaces: dict[str, str], network: str) -> bool:
    """Enter namespaces, each by the path of its file; and another network, by its path in the file system that is entered.

    Return whether that network is one of others: not that of who we enter, nor ours.
    """
    ours = [os.stat(path) for path in ("/proc/self/ns/net", namespaces.get("net", "/proc/self/ns/net"))]
    libc = ctypes.CDLL(None, use_errno=True)

    def set_to(descriptor: int) -> None:
        if libc.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "setns")

    for descriptor in [os.open(namespaces[kind], os.O_RDONLY) for kind in ORDER if kind in namespaces]:
        set_to(descriptor)
    os.chdir("/")
    if not network:
        return False
    if not stat.S_ISREG(os.stat(network).st_mode):  # the path may be anybody's, and to open a device does things
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), network)
    descriptor = os.open(network, os.O_RDONLY)
    set_to(descriptor)
    return not any(os.path.samestat(os.fstat(descriptor), one) for one in ours)


def run(*argv: str) -> list[Any]:
    """Run a program; return its exit status and what it wrote. 127 where there is none of this name."""
    try:
        ran = subprocess.run(argv, capture_output=True, check=False, stdin=subprocess.DEVNULL)
    except FileNotFoundError:
        return [127, f"{argv[0]}: not found"]
    return [ran.returncode, (ran.stdout + ran.stderr).decode("utf-8", "replace")]


def loopback() -> None:
    """Bring the loopback interface up."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        request = struct.pack("16sH14x", b"lo", 0)
        flags = struct.unpack_from("H", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request), 16)[0]
        if not flags & IFF_UP:
            fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", flags | IFF_UP))


def rules() -> dict[str, list[str]]:
    """Return the rules of CRIU's in this network, by the program that knows them; nothing of those that cannot say."""
    found: dict[str, list[str]] = {}
    for program in ("iptables", "ip6tables"):
        status, listed = run(program, "-w", "-S")
        if not status:
            found[program] = [line for line in listed.splitlines() if _is_criu(line.split())]
    status, listed = run("nft", "list", "tables")
    if not status:
        found["nft"] = [line for line in listed.splitlines() if f" {CHAIN}-" in line]
    return found


def unlock(keep: dict[str, list[str]]) -> None:
    """Remove the rules that CRIU has left in this network, but for those that were there before."""
    for program, lines in rules().items():
        left = list(keep.get(program, []))
        extra = []
        for line in lines:  # the same rule may stand there twice
            if line in left:
                left.remove(line)
            else:
                extra.append(line.split())
        for words in extra:
            if program == "nft":
                run(program, "delete", *words)
            elif words[0] == "-A":
                run(program, "-w", "-D", *words[1:])
        if ["-N", CHAIN] in extra:
            run(program, "-w", "-X", CHAIN)


def _is_criu(words: list[str]) -> bool:
    """Tell whether a rule is CRIU's: of its chain, or for one connection, which only what has its mark may pass."""
    return words[1:2] == [CHAIN] or words[-2:] == ["-j", CHAIN] or (MARK in words and words[-2:] == ["-j", "DROP"])


def hold(*, others: bool) -> str:
    """Let nothing pass in this network any more, in or out, until `release`; return why that cannot be. Twice is once.

    `others` says that neither containerd nor the bridge is in it: those would be cut off from all that could open it again.
    """
    if not others:
        return "it is the network of containerd's host, or the bridge's own: give the container another one"
    status, listed = run("iptables", "-w", "-S")
    if status:
        held = _held_by_nft()
    else:
        held = _held(listed.splitlines(), "iptables")
        status, listed = run("ip6tables", "-w", "-S")
        held = held and (bool(status) or _held(listed.splitlines(), "ip6tables"))
    return "" if held else "neither iptables nor nft can: install iptables on the host"


def _held(there: list[str], program: str) -> bool:
    # What leads to the chain comes last: so it holds, or there is nothing that is half of it.
    rules = [
        ["-N", HELD],
        *(["-A", *rule] for rule in ([HELD, "-j", "DROP"], ["INPUT", "-j", HELD], ["OUTPUT", "-j", HELD])),
    ]
    for word, chain, *rest in rules:
        if " ".join([word, chain, *rest]) not in there:
            first = "-I" if word == "-A" and chain != HELD else word
            if run(program, "-w", first, chain, *rest)[0]:
                return False
    return True


def _held_by_nft() -> bool:
    table = ["inet", HELD.lower()]
    chain = "{{ type filter hook {} priority -300; policy drop; }}"
    chains = [["add", "chain", *table, hook, chain.format(hook)] for hook in ("input", "output")]
    steps = [["add", "table", *table], *chains]
    return not any(run("nft", *step)[0] for step in steps)


def release() -> bool:
    """Let pass what `hold` has held up, and return whether nothing of it is left; that there is nothing is as good."""
    done = True
    for program in ("iptables", "ip6tables"):
        status, listed = run(program, "-w", "-S")
        if not status and f"-N {HELD}" in listed.splitlines():
            for rule in (["-D", "INPUT", "-j", HELD], ["-D", "OUTPUT", "-j", HELD], ["-F", HELD]):
                run(program, "-w", *rule)
            done = not run(program, "-w", "-X", HELD)[0] and done  # refused while anything leads there
    status, listed = run("nft", "list", "tables")
    if not status and f"table inet {HELD.lower()}" in listed.splitlines():
        done = not run("nft", "delete", "table", "inet", HELD.lower())[0] and done
    return done


def connections(pids: list[int]) -> int:
    """Return how many TCP connections these processes have, whoever else is in their network."""
    sockets: set[str] = set()
    connected: set[str] = set()
    for pid in pids:
        try:
            sockets.update(_sockets(f"/proc/{pid}/fd"))
            for table in ("tcp", "tcp6"):
                with open(f"/proc/{pid}/net/{table}", encoding="utf-8") as lines:
                    rows = [line.split() for line in lines][1:]
                connected.update(row[9] for row in rows if row[3] not in UNCONNECTED)
        except FileNotFoundError:
            continue  # it has just ended, or there is no such table
    return len(sockets & connected)


def _sockets(directory: str) -> Iterator[str]:
    """Return the inodes of the sockets that a process has open."""
    for name in os.listdir(directory):
        with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
            file = os.readlink(f"{directory}/{name}")
            if file.startswith("socket:["):
                yield file[8:-1]


def thaw(pid: int) -> bool:
    """Let the control group of a process run, if it is frozen; return whether it was."""
    return _freezer_set(pid, to="run")


def freeze(pid: int) -> bool:
    """Freeze the control group of a process, if it runs; return whether it did."""
    return _freezer_set(pid, to="stand")


def _freezer_set(pid: int, *, to: str) -> bool:
    """Let a control group run or stand still; return whether it was the other way."""
    with open(f"/proc/{pid}/cgroup", encoding="utf-8", errors="replace") as groups:
        for line in groups:
            _, controllers, path = line.rstrip("\n").split(":", 2)
            if "freezer" in controllers.split(","):
                file, frozen, words = (
                    f"/sys/fs/cgroup/freezer{path}/freezer.state",
                    {"FROZEN", "FREEZING"},
                    {"run": "THAWED", "stand": "FROZEN"},
                )
            elif not controllers:
                file, frozen, words = f"/sys/fs/cgroup{path}/cgroup.freeze", {"1"}, {"run": "0", "stand": "1"}
            else:
                continue
            if os.path.exists(file):
                with open(file, encoding="utf-8") as state:
                    stands = state.read().strip() in frozen
                if stands == (to == "run"):
                    with open(file, "w", encoding="utf-8") as state:
                        state.write(words[to])
                    return True
    return False


def missing(*paths: str) -> list[str]:
    """Return which of these paths lead to nothing."""
    return [path for path in paths if not os.path.exists(path)]


def listening(own: int, *pids: int) -> list[list[Any]]:
    """Return protocol, address and port of whatever listens in this network, or of what these processes have open in theirs.

    `own` is our directory in the /proc that was there before: in another one our number may mean nothing.
    """
    found: list[list[Any]] = []
    sockets: set[str] = set()
    for pid in pids:
        with contextlib.suppress(FileNotFoundError):  # it has just ended
            sockets.update(_sockets(f"/proc/{pid}/fd"))
    theirs = f"/proc/{pids[0]}/" if pids else ""
    for name, state in LISTENING.items():
        try:
            table = os.open(f"{theirs}net/{name}", os.O_RDONLY, dir_fd=own)
        except OSError:
            continue  # it has ended, or this kernel has no IPv6
        with open(table, encoding="utf-8", errors="replace") as lines:  # no other codec is loaded yet
            for words in [line.split() for line in lines][1:]:
                address, port = words[1].split(":")
                if words[3] == state and int(port, 16) and (not pids or words[9] in sockets):
                    found.append([name[:3], _address(address), int(port, 16)])
    return found


def _address(text: str) -> str:
    """Return an address as people write it; the kernel shows words of 32 bits, each as its processor has it."""
    data = b"".join(int(text[at : at + 8], 16).to_bytes(4, sys.byteorder) for at in range(0, len(text), 8))
    data = data.removeprefix(MAPPED)
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


STEPS: Final[dict[str, Callable[..., Any]]] = {
    "run": run,
    "loopback": loopback,
    "rules": rules,
    "unlock": unlock,
    "release": release,
    "connections": connections,
    "thaw": thaw,
    "freeze": freeze,
    "missing": missing,
}


def main() -> None:
    """Do what is asked for."""
    request = json.loads(sys.argv[1])
    answer: dict[str, Any]
    own = os.open("/proc/self", os.O_RDONLY | os.O_DIRECTORY)
    try:
        others = enter(request["namespaces"], request["network"])
        steps: dict[str, Callable[..., Any]] = {
            **STEPS,
            "listening": partial(listening, own),
            "hold": partial(hold, others=others),
        }
        answer = {"results": [steps[name](*arguments) for name, *arguments in request["steps"]]}
    except OSError as error:
        answer = {"error": f"{error.strerror or error} ({error.filename})" if error.filename else str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
