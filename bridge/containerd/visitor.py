"""What is done inside containerd's namespaces, by a process of its own: started by `Visits`, never imported for anything else.

    python -I -S visitor.py '{"namespaces": {"net": "/proc/7/ns/net", ...}, "steps": [["run", "criu", "check"]]}'

A process that enters a mount namespace is in another file system from then on, so everything is imported before. It writes
one line of JSON: a result for each step, or what went wrong, and the rest is up to who started it.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from typing import Any, Final

ORDER: Final = ("net", "cgroup", "pid", "mnt")
"""The mount namespace last: with it the paths of the others are gone. The PID namespace is that of children only."""

CHAIN: Final = "CRIU"
"""What CRIU calls its chain of rules that let nothing pass while it works (criu, criu/netfilter.c)."""

MARK: Final = "0xc114"
"""What may pass all the same: CRIU's own packets."""

SIOCGIFFLAGS: Final = 0x8913
SIOCSIFFLAGS: Final = 0x8914
IFF_UP: Final = 1


def enter(namespaces: dict[str, str], network: str) -> None:
    """Enter namespaces, each by the path of its file; and another network, by its path in the file system that is entered."""
    libc = ctypes.CDLL(None, use_errno=True)

    def set_to(descriptor: int) -> None:
        if libc.setns(descriptor, 0):
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), "setns")

    for descriptor in [os.open(namespaces[kind], os.O_RDONLY) for kind in ORDER if kind in namespaces]:
        set_to(descriptor)
    os.chdir("/")
    if network:
        set_to(os.open(network, os.O_RDONLY))


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


STEPS: Final[dict[str, Callable[..., Any]]] = {
    "run": run,
    "loopback": loopback,
    "rules": rules,
    "unlock": unlock,
    "thaw": thaw,
    "freeze": freeze,
}


def main() -> None:
    """Do what is asked for."""
    request = json.loads(sys.argv[1])
    answer: dict[str, Any]
    try:
        enter(request["namespaces"], request["network"])
        answer = {"results": [STEPS[name](*arguments) for name, *arguments in request["steps"]]}
    except OSError as error:
        answer = {"error": f"{error.strerror or error} ({error.filename})" if error.filename else str(error)}
    sys.stdout.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
