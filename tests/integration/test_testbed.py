"""The test host keeps its own promises; what every other test on real servers stands on."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.fix_containerd import ContainerdFactory
from tests.fix_nats import NatsServerFactory
from tests.pages import blocks
from tests.testbed import (
    VERSIONS,
    Certificates,
    Containerd,
    Ctr,
    CtrFailedError,
    DiedError,
    NatsServer,
    UnavailableError,
)
from tests.testbed import roots as testbed_roots

ENDLESS = ("sh", "-c", "while true; do sleep 1; done")


def eventually(condition: Callable[[], bool], *, within_s: float = 20) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)


# -- containerd -----------------------------------------------------------------------------------------------------


CLAIMED = blocks("tests/README.md", "python")


async def test_the_test_on_the_page_passes(containerd_factory: ContainerdFactory, nats_server: NatsServer) -> None:
    [block] = CLAIMED
    names: dict[str, Any] = {"Ctr": Ctr}
    exec(compile(block.text, str(block), "exec"), names)
    [test] = [thing for name, thing in names.items() if name.startswith("test_")]
    ctr = containerd_factory().namespace("page")
    ctr.import_busybox()
    await test(ctr, nats_server.url)


def test_each_containerd_is_of_the_generation_it_is_called(every_ctr: Ctr) -> None:
    told = every_ctr("version")
    server = told[told.index("Server:") :]
    version = server.split("Version:")[1].split()[0].lstrip("v")
    asked = every_ctr.host.version
    assert [int(part) for part in version.split(".")[:2]] >= [int(part) for part in asked.split(".")]
    assert version.partition(".")[0] == asked.partition(".")[0]


def test_a_container_that_exits_with_3_is_seen_by_ctr_events(every_ctr: Ctr) -> None:
    with every_ctr.events() as events:
        every_ctr.run("web.1", "sh", "-c", "exit 3")
        exited = events.until_topic("/tasks/exit", "web.1")
    assert exited.data["exit_status"] == 3
    topics = [event.topic for event in events.seen]
    assert topics.index("/tasks/create") < topics.index("/tasks/start") < topics.index("/tasks/exit")


def test_run_in_the_foreground_gives_the_exit_status_of_the_container(every_ctr: Ctr) -> None:
    assert every_ctr.run("fg", "sh", "-c", "exit 4", detach=False) == 4


def test_a_container_outlives_kill_9_of_containerd_and_is_found_after_the_restart(every_ctr: Ctr) -> None:
    every_ctr.run("survivor", *ENDLESS)
    every_ctr.host.kill()
    assert not every_ctr.host.alive
    every_ctr.host.start()
    assert every_ctr.status("survivor") == "RUNNING"


def test_a_frozen_containerd_goes_on_when_it_is_thawed(ctr: Ctr) -> None:
    ctr.host.freeze()
    with pytest.raises(subprocess.TimeoutExpired):
        ctr("containers", "ls", timeout=0.2)
    ctr.host.thaw()
    assert ctr("containers", "ls", "-q") == ""


def test_what_ctr_refuses_is_an_error_with_its_sentence(ctr: Ctr) -> None:
    with pytest.raises(CtrFailedError, match=r'container "nobody" in namespace .* not found'):
        ctr("containers", "info", "nobody")


@pytest.mark.parametrize("version", ["1.7", "2.1"])
def test_a_container_is_dumped_by_criu_and_restored_under_another_id(
    version: str, containerd_factory: ContainerdFactory
) -> None:
    ctr = containerd_factory(version).namespace(f"criu-{uuid4().hex}")
    ctr.run("before", "tail", "-f", "/dev/null")  # it starts no program, which CRIU might meet half-way
    ctr("containers", "checkpoint", "--task", "--image", "--rw", "before", "local/checkpoint:1")
    ctr.delete("before")
    ctr("containers", "restore", "--live", "after", "local/checkpoint:1")
    assert ctr.status("after") == "RUNNING"


def test_fifos_under_shared_are_the_same_inside_and_outside(ctr: Ctr) -> None:
    fifo = ctr.host.fifo_dir / f"{ctr.namespace}-out"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    try:
        ctr.host.run("sh", "-c", f"echo hello >{fifo}")
        assert os.read(reader, 100) == b"hello\n"
    finally:
        os.close(reader)


def test_a_namespace_is_gone_after_its_test_whatever_was_in_it(every_containerd: Containerd) -> None:
    with every_containerd.fresh_namespace() as ctr:
        ctr.run("running", *ENDLESS)
        ctr.run("paused", *ENDLESS)
        ctr("tasks", "pause", "paused")
        ctr.run("stopped", "true")
        ctr("containers", "create", "docker.io/library/busybox:local", "never-started")
    assert ctr.namespace not in every_containerd.ctr("namespaces", "ls", "-q").split()
    assert cgroups(ctr.namespace) == []


def test_the_pid_is_that_of_the_containerd_that_answers(containerd_factory: ContainerdFactory) -> None:
    host = containerd_factory("2.1")
    os.kill(host.pid, signal.SIGKILL)
    eventually(lambda: not host.alive)
    with pytest.raises(DiedError, match="is not running"):
        _ = host.pid


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_is_left_after_close_even_of_a_paused_container(
    version: str, containerd_factory: ContainerdFactory
) -> None:
    host = containerd_factory(version)
    name = f"left-behind-{uuid4().hex}"  # control groups are the machine's, and others test on it too
    ctr = host.namespace(name)
    ctr.run("running", *ENDLESS)
    ctr.run("paused", *ENDLESS)
    ctr("tasks", "pause", "paused")
    shared = host.shared
    host.close()
    assert left_of(shared) == []
    assert cgroups(name) == []


ORPHANING = """
import sys, time
from uuid import uuid4
from tests.testbed import Containerd, NatsServer
with Containerd("2.1") as host, NatsServer() as server:
    host.namespace(f"orphaned-{uuid4().hex}").run("running", "sh", "-c", "while true; do sleep 1; done")
    print(host.shared, server.directory, flush=True)
    time.sleep(600)
"""


def test_nothing_is_left_after_kill_9_of_the_process_that_started_it(containerd: Containerd) -> None:
    with subprocess.Popen([sys.executable, "-c", ORPHANING], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        directories = [Path(word) for word in parent.stdout.readline().split()]
        assert len(directories) == 2
        parent.kill()
    eventually(lambda: not any(left_of(directory) for directory in directories))


def cgroups(namespace: str) -> list[Path]:
    """The control groups of a namespace, in both versions' places. Nothing below is looked at: others make and remove there."""
    top = Path("/sys/fs/cgroup")
    return [*top.glob(namespace), *top.glob(f"*/{namespace}")]


def left_of(directory: Path) -> list[str]:
    """The directory, the mounts in it and the processes that have it on their command line, as far as they are there."""
    left = [str(directory)] if directory.exists() else []
    left += [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if str(directory) in line]
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            left += [command] if str(directory) in command else []
    return left


def test_a_root_that_was_not_built_is_a_sentence_that_says_how(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TESTBED_CACHE", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"containerd 2\.1 is not here: `make roots` as root makes it"):
        testbed_roots.with_containerd("2.1")


def test_an_unknown_generation_is_a_sentence_that_names_the_known() -> None:
    with pytest.raises(ValueError, match=r"no test host with containerd '3\.0': use one of 1\.6, 1\.7, 2\.1"):
        testbed_roots.with_containerd("3.0")


# -- nats-server ----------------------------------------------------------------------------------------------------


def varz(server: NatsServer) -> dict[str, object]:
    with urllib.request.urlopen(f"{server.monitor_url}/varz") as answer:
        told: dict[str, object] = json.load(answer)
    return told


def test_the_embedded_nats_server_is_one_with_fast_ingest(nats_server: NatsServer) -> None:
    assert str(varz(nats_server)["version"]).startswith("2.15.")


def test_an_older_nats_server_is_of_the_generation_it_is_called(older_nats_server: NatsServer) -> None:
    assert str(varz(older_nats_server)["version"]).startswith(f"{older_nats_server.version}.")


def test_a_nats_server_comes_back_on_its_port_after_kill_9(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    before = server.url, server.pid
    server.restart()
    assert server.url == before[0]
    assert server.pid != before[1]


def test_a_nats_server_with_a_wrong_configuration_says_what_is_wrong(nats_server_factory: NatsServerFactory) -> None:
    with pytest.raises(DiedError, match="no_such_option"):
        nats_server_factory(config="no_such_option: 1")


def test_a_nats_server_reads_its_configuration_again(nats_server_factory: NatsServerFactory) -> None:
    server = nats_server_factory()
    server.config = "max_payload: 65536"
    server.reload()
    eventually(lambda: varz(server)["max_payload"] == 65536)


def upgraded(server: NatsServer, context: ssl.SSLContext) -> str:
    """Take the server's greeting, change to TLS as a client does, and return the answer to CONNECT."""
    with socket.create_connection(("127.0.0.1", server.port)) as plain:
        greeting = plain.recv(4096)
        assert b'"tls_required":true' in greeting
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
            secured.sendall(b'CONNECT {"verbose":true}\r\n')
            return secured.recv(100).decode()


def test_a_nats_server_with_our_certificates_is_trusted_by_their_authority(
    nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(config=certificates.nats_config())
    assert upgraded(server, ssl.create_default_context(cafile=certificates.ca)) == "+OK\r\n"


def test_a_nats_server_that_verifies_takes_the_clients_certificate(
    nats_server_factory: NatsServerFactory, certificates: Certificates
) -> None:
    server = nats_server_factory(config=certificates.nats_config(verify=True))
    context = ssl.create_default_context(cafile=certificates.ca)
    context.load_cert_chain(certificates.client, certificates.client_key)
    assert upgraded(server, context) == "+OK\r\n"
