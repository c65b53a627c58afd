"""Hosts with a network between them, each in a network namespace of its own, and every one's cable can be pulled out.

`with lan.at("edge")` is this thread on that host: what it starts there, sockets and processes, stays there. Nothing of it can be
seen from the machine's own network, so addresses and ports are ours to choose. A cable that is out loses what is sent,
without a word to either side, as a real one does.
"""

import ctypes
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Self

__all__ = ["Lan"]

CLONE_NEWNET = 0x40000000


class Lan:
    """`with Lan(["hub", "edge"]) as lan`: all hosts are plugged in."""

    def __init__(self, hosts: Sequence[str]) -> None:
        self._hosts = list(hosts)
        self._holders: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> Self:
        try:
            self._open()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._close()

    def address(self, host: str) -> str:
        """The host's address, for all others."""
        return f"192.0.2.{self._hosts.index(host) + 1}"  # nobody's, for examples (RFC 5737)

    @contextmanager
    def at(self, host: str) -> Iterator[None]:
        """For the length of the block this thread, and what it starts, is on that host."""
        with open("/proc/thread-self/ns/net", "rb") as home, open(self._path(host), "rb") as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def unplug(self, host: str) -> None:
        """Pull the host's cable out: nothing reaches it, nothing comes from it, and nobody is told."""
        self._ip("link", "set", self._port(host), "down")

    def plug(self, host: str) -> None:
        """Put the cable back."""
        self._ip("link", "set", self._port(host), "up")

    # -- inside

    def _open(self) -> None:
        for name in ("", *self._hosts):  # the first is what they are plugged into
            # What it writes says that it is inside; it ends with its input.
            keeps = ["unshare", "--net", "sh", "-c", "echo && exec cat"]
            self._holders[name] = holder = subprocess.Popen(keeps, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
            assert holder.stdout is not None
            holder.stdout.readline()
        self._ip("link", "add", "name", "lan", "type", "bridge")
        self._ip("link", "set", "lan", "up")
        for host in self._hosts:
            port = self._port(host)
            pid = str(self._holders[host].pid)
            self._ip("link", "add", "name", port, "type", "veth", "peer", "name", "eth0", "netns", pid)
            self._ip("link", "set", port, "master", "lan")
            self._ip("link", "set", port, "up")
            for words in (
                ("link", "set", "lo", "up"),
                ("address", "add", f"{self.address(host)}/24", "dev", "eth0"),
                ("link", "set", "eth0", "up"),
            ):
                self._ip(*words, at=host)

    def _close(self) -> None:
        while self._holders:
            self._holders.popitem()[1].communicate()

    def _port(self, host: str) -> str:
        return f"port{self._hosts.index(host)}"

    def _path(self, host: str) -> str:
        return f"/proc/{self._holders[host].pid}/ns/net"

    def _ip(self, *words: str, at: str = "") -> None:
        argv = ["nsenter", f"--net={self._path(at)}", "ip", *words]
        ran = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
        if ran.returncode:
            raise RuntimeError(f"{' '.join(argv)}: {ran.stderr.strip()}")


def _enter(namespace: int) -> None:
    if ctypes.CDLL(None, use_errno=True).setns(namespace, CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns: this needs root")
