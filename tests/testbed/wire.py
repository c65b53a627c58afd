"""One address at two hosts, of which one has the wire: a network namespace under the same path in both, and a peer.

It is in a network of its own, with a bridge to which either of the two is plugged. It says one number after the other over one
connection, whatever it hears, and wants to hear each of them back; what comes back wrong, or an end, ends it.
"""

import asyncio
import subprocess
import sys
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from tests.testbed.containerd import Containerd

ADDRESS, PEER, PORT = "192.0.2.2", "192.0.2.1", 777
"""Nobody's, for examples (RFC 5737); they are in namespaces of ours only."""

MAC = "02:00:00:00:00:02"
"""The same at both hosts, so that the peer need not ask where the address is by now."""

NETWORK = "/run/moving"
"""In each host, of which each has a `/run` of its own."""

TALKS = f"""
import itertools, socket, threading, time
def say():
    for number in itertools.count(1):
        peer.sendall(b"%d\\n" % number)
        time.sleep(0.02)
with socket.create_connection(("{ADDRESS}", {PORT})) as peer, peer.makefile("rb") as lines:
    threading.Thread(target=say, daemon=True).start()
    for number in itertools.count(1):
        heard = lines.readline()
        assert heard == b"%d\\n" % number, (number, heard)
        print(number, flush=True)
"""


class Wire:
    """`async with Wire([one, other]) as wire`: both hosts have the network, and none is plugged in."""

    def __init__(self, hosts: Sequence[Containerd]) -> None:
        self._hosts = hosts
        self._network: subprocess.Popen[bytes] | None = None
        self._peer: asyncio.subprocess.Process | None = None

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self._open)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        if self._peer is not None:
            if self._peer.returncode is None:
                self._peer.kill()
            await self._peer.communicate()
        await asyncio.to_thread(self._close)

    async def plug(self, host: Containerd) -> None:
        """Let this host have the wire, and no other."""
        for number, each in enumerate(self._hosts):
            await asyncio.to_thread(self._ip, "link", "set", f"wire{number}", "up" if each is host else "down")

    async def talk(self) -> None:
        """Begin to talk; `heard` waits for what comes back."""
        self._peer = await asyncio.create_subprocess_exec(
            *self._inside, sys.executable, "-c", TALKS, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    async def heard(self, beyond: int = 0) -> int:
        """Wait until a number beyond that came back, over the connection that there was from the first one on."""
        assert self._peer is not None
        assert self._peer.stdout is not None
        assert self._peer.stderr is not None
        while line := await self._peer.stdout.readline():
            if int(line) > beyond:
                return int(line)
        raise AssertionError((await self._peer.stderr.read()).decode()[-500:])

    # -- inside

    @property
    def _inside(self) -> list[str]:
        assert self._network is not None
        return ["nsenter", f"--net=/proc/{self._network.pid}/ns/net"]

    def _open(self) -> None:
        # What it writes says that it is inside; it ends with its input.
        keeps = ["unshare", "--net", "sh", "-c", "echo && exec cat"]
        self._network = subprocess.Popen(keeps, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert self._network.stdout is not None
        self._network.stdout.readline()
        self._ip("link", "add", "name", "lan", "type", "bridge")
        self._ip("address", "add", f"{PEER}/24", "dev", "lan")
        self._ip("link", "set", "lan", "up")
        for number, host in enumerate(self._hosts):
            host.run("sh", "-c", f"touch {NETWORK}; unshare --net={NETWORK} true")
            outside = host.outside(NETWORK)
            ends = ("name", f"wire{number}", "type", "veth", "peer", "name", "wire", "netns", outside)
            self._ip("link", "add", *ends)
            self._ip("link", "set", f"wire{number}", "master", "lan")
            for words in (
                ("link", "set", "lo", "up"),
                ("address", "add", f"{ADDRESS}/24", "dev", "wire"),
                ("link", "set", "wire", "address", MAC, "up"),
            ):
                _run("nsenter", f"--net={outside}", "ip", *words)

    def _close(self) -> None:
        if self._network is not None:
            self._network.communicate()
        for host in self._hosts:
            host.run("sh", "-c", f"umount {NETWORK} && rm {NETWORK}", check=False)

    def _ip(self, *words: str) -> None:
        _run(*self._inside, "ip", *words)


def _run(*argv: str) -> None:
    ran = subprocess.run(argv, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
    if ran.returncode:
        raise RuntimeError(f"{' '.join(argv)}: {ran.stderr.strip()}")
