"""deploy/systemd on systemd itself: its verifier is content, and a real one starts, watches, restarts and stops the bridge.

That systemd is the first process of namespaces of its own, and what is started in it is the unit of the repository: only the
program's path is this checkout's, and a drop-in names the servers of the test.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bridge.cli.plain import plain_serve
from bridge.config import ENVIRONMENT, load
from bridge.jetstream.checkpoint_keys import read_keys
from tests.contract.checkpointing import WAITS
from tests.fix_bridge import Bridge, until_stored
from tests.fix_nats import NatsServerFactory
from tests.guards import lacking, needs_the_machine
from tests.integration.test_serve import ENDLESS
from tests.testbed import Ctr, Systemd

ROOT = Path(__file__).parents[2]
DEPLOYED = ROOT / "deploy" / "systemd"
UNIT, TEMPLATE = "containerd-bridge.service", "containerd-bridge@.service"
PROGRAM = "/opt/containerd-bridge/bin/containerd-bridge"
READER, CREDENTIALS = (DEPLOYED / name for name in ("reader.conf", "credentials.conf"))


def here(text: str) -> str:
    """A unit with the program of this checkout."""
    return text.replace(PROGRAM, f"{Path(sys.executable).parent}/containerd-bridge")


def analyse(tmp_path: Path, *words: str, drop_ins: tuple[Path, ...] = ()) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on the unit with these drop-ins."""
    if shutil.which("systemd-analyze") is None:
        lacking("there is no systemd-analyze here: install the package systemd")
    unit = tmp_path / UNIT
    unit.write_text(here((DEPLOYED / UNIT).read_text()))
    for drop_in in drop_ins:
        place = tmp_path / f"{UNIT}.d" / drop_in.name
        place.parent.mkdir(exist_ok=True)
        place.write_text(here(drop_in.read_text()))
    return subprocess.run(["systemd-analyze", *words, unit], capture_output=True, text=True, check=False, timeout=90)


@pytest.mark.parametrize("drop_ins", [(), (READER,), (CREDENTIALS,), (READER, CREDENTIALS)])
def test_systemds_own_verifier_has_nothing_to_say(tmp_path: Path, drop_ins: tuple[Path, ...]) -> None:
    done = analyse(tmp_path, "verify", "--man=no", "--recursive-errors=no", drop_ins=drop_ins)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.parametrize(("drop_ins", "most"), [((), 55), ((READER,), 20)])
def test_it_is_no_more_exposed_than_its_work_takes(tmp_path: Path, drop_ins: tuple[Path, ...], most: int) -> None:
    """Of 100; a unit that says nothing has 96."""
    done = analyse(tmp_path, "security", "--offline=true", "--no-pager", f"--threshold={most}", drop_ins=drop_ins)
    assert done.returncode == 0, done.stdout[-300:]


@pytest.mark.parametrize("file", sorted(DEPLOYED.iterdir()), ids=lambda file: file.name)
def test_what_is_started_are_options_of_serve_and_what_is_set_are_settings(file: Path) -> None:
    text = file.read_text()
    for line in re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE):
        program, *words = line.split()
        assert program in {PROGRAM, PROGRAM.replace("/bin/", "/%i/bin/")}
        assert plain_serve(words) is not None, line
    names = re.findall(r"^Environment=(\w+)=", text, re.MULTILINE)
    assert all(name.startswith(ENVIRONMENT) for name in names)
    load({}, environ=dict.fromkeys(names, "/nowhere"))  # refuses what is no setting


# -- a real one

PLACE = """[Service]
ExecStart=
ExecStart={program} serve --containerd {containerd} --nats {nats} --node n1 --log-format journal {more}
BindReadOnlyPaths={checkout} {python}
BindPaths={shared}
StandardError=append:{log}
{also}
"""


@pytest.fixture(scope="module")
def systemd() -> Iterator[Systemd]:
    """One systemd with the unit, for tests that put drop-ins of their own beside it."""
    units = {
        UNIT: here((DEPLOYED / UNIT).read_text()),
        "containerd.service": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=true\n",
    }
    with needs_the_machine(), Systemd(units, Path("/tmp")) as systemd:
        yield systemd


class Service:
    """The unit on the servers of a test."""

    def __init__(self, systemd: Systemd, ctr: Ctr, url: str) -> None:
        self.systemd, self.ctr, self.url = systemd, ctr, url

    def place(self, *, program: str, more: str = "", also: str = "") -> str:
        """A drop-in with the servers of the test."""
        return PLACE.format(
            program=program,
            containerd=self.ctr.host.address,
            nats=self.url,
            more=more,
            also=also,
            checkout=ROOT,
            python=sys.base_prefix,
            log=self.systemd.output,
            shared=self.ctr.host.shared,
        )

    def start(self, *drop_ins: Path, more: str = "", also: str = "", program: str = "") -> None:
        place = self.place(program=program or here(PROGRAM), more=more, also=also)
        self.systemd.write({f"{UNIT}.d/{drop_in.name}": here(drop_in.read_text()) for drop_in in drop_ins})
        self.systemd.write({f"{UNIT}.d/the-test.conf": place})
        self.systemd.ctl("daemon-reload")
        self.systemd.ctl("start", UNIT)

    def close(self) -> None:
        self.systemd.ctl("stop", UNIT)
        self.systemd.remove(f"{UNIT}.d")
        self.systemd.run("rm", "-rf", "/var/lib/containerd-bridge", "/run/containerd-bridge")
        self.systemd.ctl("reset-failed", UNIT, check=False)


@pytest.fixture
def service(systemd: Systemd, ctr: Ctr, nats_server_factory: NatsServerFactory) -> Iterator[Service]:
    service = Service(systemd, ctr, nats_server_factory().url)
    yield service
    service.close()


@pytest.mark.xdist_group("systemd")
def test_started_means_that_events_flow_and_what_dies_is_started_again(service: Service) -> None:
    service.start()
    systemd, url = service.systemd, service.url
    assert systemd.show(UNIT, "StatusText") == "events flow"
    assert systemd.show(UNIT, "WatchdogUSec") == "1min"
    until_stored(url, lambda message: message.word == "connected")
    first = systemd.show(UNIT, "MainPID")
    systemd.ctl("kill", "--kill-who=main", "--signal=KILL", UNIT)
    systemd.until(UNIT, "NRestarts", "1")
    systemd.until(UNIT, "SubState", "running")
    assert systemd.show(UNIT, "MainPID") != first
    systemd.ctl("stop", UNIT)
    assert systemd.show(UNIT, "Result") == "success"
    until_stored(url, lambda message: message.word == "stopped" and message.data["reason"] == "asked to stop")
    assert "events flow" not in systemd.show(UNIT, "StatusText")


@pytest.mark.xdist_group("systemd")
def test_an_instance_takes_over_from_another_and_no_event_is_missed(service: Service) -> None:
    systemd = service.systemd
    template = (
        (DEPLOYED / TEMPLATE).read_text().replace("/opt/containerd-bridge/%i/bin", str(Path(sys.executable).parent))
    )
    place = service.place(program=f"{here(PROGRAM)}", more="--take-over")
    old, new = (TEMPLATE.replace("@", f"@{version}") for version in ("1.0.0", "1.1.0"))
    systemd.write({TEMPLATE: template, f"{TEMPLATE}.d/the-test.conf": place})
    systemd.ctl("daemon-reload")
    try:
        systemd.ctl("start", old)
        systemd.ctl("start", new)
        systemd.until(old, "ActiveState", "inactive")
        assert (systemd.show(old, "Result"), systemd.show(old, "NRestarts")) == ("success", "0")
        assert systemd.show(new, "StatusText") == "events flow"
        messages = until_stored(service.url, lambda message: message.word == "stopped")
        pid = systemd.run("cat", "/var/lib/containerd-bridge/lock").stdout
        assert pid == systemd.show(new, "MainPID")
        [stopped] = [message for message in messages if message.word == "stopped"]
        assert stopped.data["reason"] == f"handed over to pid {pid}"
        assert [message.word for message in messages].count("gap") == 1  # of the first start
    finally:
        systemd.ctl("stop", old, new)


def test_the_template_is_the_unit_but_for_what_it_starts() -> None:
    unit, template = ((DEPLOYED / name).read_text().splitlines() for name in (UNIT, TEMPLATE))
    differ = {line for line in {*unit} ^ {*template} if not line.startswith("#")}
    assert len(differ) == 2
    assert all(line.startswith("ExecStart=") for line in differ)


@pytest.mark.xdist_group("systemd")
def test_a_loop_that_hangs_is_ended_by_the_watchdog_and_started_again(service: Service) -> None:
    systemd = service.systemd
    service.start(program=f"{sys.executable} -m tests.stalled loop", also=f"WatchdogSec=5\nWorkingDirectory={ROOT}")
    first = systemd.show(UNIT, "NRestarts")
    systemd.ctl("kill", "--kill-who=main", "--signal=USR1", UNIT)
    systemd.until(UNIT, "NRestarts", first, other=True)
    systemd.until(UNIT, "SubState", "running")
    assert "Fatal Python error: Aborted" in systemd.log  # and where every thread was


@pytest.mark.xdist_group("systemd")
def test_a_reader_without_any_capability_follows_containerd(service: Service) -> None:
    # The interpreter of this checkout may be somebody's own, below a home.
    service.start(READER, also="ProtectHome=tmpfs")
    pid = service.systemd.show(UNIT, "MainPID")
    status = service.systemd.run("cat", f"/proc/{pid}/status").stdout
    assert re.findall(r"^Cap(?:Eff|Bnd):\t0+$", status, re.MULTILINE)
    assert re.findall(r"^Seccomp:\t2$", status, re.MULTILINE)
    service.ctr.run("web.1", "sh", "-c", "exit 3")
    messages = until_stored(service.url, lambda message: message.word == "exit")
    [exited] = [message for message in messages if message.word == "exit"]
    assert exited.data["exit_status"] == 3


@pytest.mark.xdist_group("systemd")
def test_secrets_come_as_credentials(service: Service, tmp_path: Path) -> None:
    key = tmp_path / "checkpoint.key"
    subprocess.run([sys.executable, "-m", "bridge", "checkpoint", "keygen", key], check=True, capture_output=True)
    assert read_keys(key)
    drop_in = tmp_path / "credentials.conf"
    lines = CREDENTIALS.read_text().replace("/etc/containerd-bridge/checkpoint.key", str(key)).splitlines()
    drop_in.write_text("\n".join(line for line in lines if "creds" not in line))
    service.start(drop_in, more="--commands checkpoint,observe")
    assert service.systemd.show(UNIT, "StatusText") == "events flow"
    given = service.systemd.run("cat", f"/run/credentials/{UNIT}/checkpoint.key").stdout
    assert given == key.read_text()
    assert "cannot be put into the catalogue" not in service.systemd.log


@pytest.mark.xdist_group("systemd")
def test_under_the_unit_commands_run_and_output_comes_through_fifos(service: Service) -> None:
    shared = service.ctr.host.shared
    service.start(
        more=f"--commands all --fifo-dir {service.ctr.host.fifo_dir} --checkpoint-dir {shared}/checkpoints",
        also=f"ReadWritePaths={shared}",
    )
    service.ctr.run("web.1", *ENDLESS)
    until_stored(service.url, lambda message: message.word == "start")
    assert bridge_cli(service.url, "exec", "-n", service.ctr.namespace, "web.1", "echo", "hi") == "hi\n"


def test_the_capabilities_of_the_unit_are_enough_for_exec_and_checkpoint(
    ctr: Ctr, nats_url: str, tmp_path: Path
) -> None:
    """Not under systemd, where containerd's process would be out of sight: the bounding set alone."""
    text = (DEPLOYED / UNIT).read_text()
    [names] = re.findall(r"^CapabilityBoundingSet=(.+)$", text, re.MULTILINE)
    kept = ",".join(f"+{name.removeprefix('CAP_').lower()}" for name in names.split())
    bridge = Bridge(
        *("--containerd", ctr.host.address, "--nats", nats_url, "--node", "n1", "--state-dir", tmp_path / "state"),
        *("--commands", "all", "--fifo-dir", ctr.host.fifo_dir, "--checkpoint-dir", ctr.host.shared / "checkpoints"),
    )
    bridge.prefix = ("setpriv", f"--bounding-set=-all,{kept}", f"--inh-caps=-all,{kept}", "--no-new-privs")
    with bridge:
        bridge.live()
        status = Path(f"/proc/{bridge.process.pid}/status").read_text()
        assert re.search(r"^CapEff:\t0*[1-9a-f]", status, re.MULTILINE)
        ctr.run("web.1", "sh", "-c", f"{WAITS}; while :; do waits; done")
        asked = ("-n", ctr.namespace, "web.1")
        listed = "busybox mkdir -p /etc; echo someone:x:7:7::/:/bin/sh >/etc/passwd"
        bridge_cli(nats_url, "exec", *asked, "sh", "-c", listed)
        assert bridge_cli(nats_url, "exec", "--user", "someone", *asked, "busybox", "id", "-u") == "7\n"
        bridge_cli(nats_url, "checkpoint", "create", *asked)
        assert "web.1" in bridge_cli(nats_url, "checkpoint", "ls")
        assert "out of sight" not in "\n".join(bridge.log)


def bridge_cli(url: str, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "bridge", *words, "--nats", url] if words[0] != "exec" else
        [sys.executable, "-m", "bridge", "exec", "--nats", url, *words[1:]],
        capture_output=True, text=True, check=False, timeout=200,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout
