"""Containers made on real containerd: what `ctr run` would have made, and nothing where it fails.

The default run has containerd 2.1; `-m older` repeats it with 1.6 and 1.7. `ctr` bears witness.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from bridge.containerd.runtime import ContainerdRuntime
from bridge.control import creation, leases
from bridge.control.dispatch import Dispatcher
from bridge.control.policy import Policy
from bridge.control.record import CommandRecord
from bridge.control.removal import Removal
from bridge.control.verb import Place
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.commands import GROUPS, Create, Run
from bridge.model.outcomes import Judged, Outcome
from bridge.model.subjects import CommandSubject
from bridge.ports import CommandRequest
from tests.faulty import Faulty
from tests.integration.test_containerd_runtime import GENERATIONS, eventually
from tests.testbed import BUSYBOX, Containerd, Ctr
from tests.testbed.image import archive
from tests.testbed.roots import with_containerd
from tests.unit.policy.specs import LENIENT, anything

SLEEP = ["sleep", "1000"]
USERS = "docker.io/library/users:local"
PASSWD = b"# people\nroot:x:0:0:root:/root:/bin/sh\nann:x:1000:1001::/:/bin/sh\nbroken\nbob:x:oops:1::/:\n"
GROUP = b"root:x:0:\nanns:x:1001:\nstaff:x:50:root,ann\naudio:x:29:ann\nnobody\n"

pytestmark = pytest.mark.containerd


class Node:
    """A dispatcher on a real containerd, asked as the bus would ask it."""

    def __init__(self, runtime: Any, ctr: Ctr, removal: Removal | None = None) -> None:
        self.runtime = runtime
        self.ctr = ctr
        self.dispatcher = Dispatcher(
            "node",
            runtime,
            policy=Policy(groups=GROUPS, book=LENIENT),
            record=CommandRecord(lambda *_: None),
            removing=removal,
        )

    def without_journal(self) -> Node:
        """Return the same node under a bridge that does not remember what the one before did."""
        return Node(self.runtime, self.ctr)

    async def __call__(self, verb: str, container: str | None = "web.1", **options: Any) -> Outcome:
        subject = CommandSubject("node", self.ctr.namespace, container, verb)
        return await self.dispatcher.handle(CommandRequest(subject=subject, body=json.dumps(options).encode()))

    async def ok(self, verb: str, container: str | None = "web.1", **options: Any) -> Any:
        outcome = await self(verb, container, **options)
        assert outcome.outcome == "ok", outcome.error
        return outcome.result

    async def failure(self, verb: str, container: str | None = "web.1", **options: Any) -> tuple[str, str]:
        outcome = await self(verb, container, **options)
        assert outcome.error is not None, outcome
        return outcome.error.code, outcome.error.message

    async def record(self, container: str = "web.1") -> dict[str, Any]:
        """What `ctr containers info` says."""
        told: dict[str, Any] = json.loads(await asyncio.to_thread(self.ctr, "containers", "info", container))
        return told

    async def spec(self, container: str = "web.1") -> dict[str, Any]:
        spec: dict[str, Any] = (await self.record(container))["Spec"]
        return spec

    async def until_gone(self, container: str = "web.1") -> None:
        await eventually(lambda: asyncio.to_thread(lambda: container not in self.ctr("containers", "ls", "-q").split()))


def left(ctr: Ctr) -> dict[str, list[str]]:
    """What there is in a namespace beside images and their content."""
    snapshots = [line.split() for line in ctr("snapshots", "ls").splitlines()[1:]]
    return {
        "containers": ctr("containers", "ls", "-q").split(),
        "tasks": ctr("tasks", "ls", "-q").split(),
        "leases": ctr("leases", "ls", "-q").split(),
        "snapshots": [line[0] for line in snapshots if line[-1] == "Active"],
    }


NOTHING: dict[str, list[str]] = {"containers": [], "tasks": [], "leases": [], "snapshots": []}


def differing(ours: Any, theirs: Any, where: str = "") -> set[str]:
    """Where two specs differ, as paths."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        keys = ours.keys() | theirs.keys()
        return {each for key in keys for each in differing(ours.get(key), theirs.get(key), f"{where}/{key}")}
    return set() if ours == theirs else {where}


@pytest.fixture(params=GENERATIONS)
def host(request: pytest.FixtureRequest, _containerds: Callable[[str], Containerd]) -> Containerd:
    """containerd 2.1, and with `-m older` 1.7 and 1.6."""
    return _containerds(request.param)


@pytest.fixture
async def node(host: Containerd) -> AsyncIterator[Node]:
    with host.fresh_namespace() as ctr:
        async with ContainerdRuntime(host.address) as runtime, Removal("node", runtime) as removal:
            yield Node(runtime, ctr, removal)


def put_image(ctr: Ctr, name: str, **more: Any) -> None:
    file = ctr.host.shared / f"{ctr.namespace}.tar"
    file.write_bytes(archive((with_containerd(ctr.host.version) / "bin" / "busybox").read_bytes(), name=name, **more))
    ctr("images", "import", str(file))
    file.unlink()


# -- the spec


@pytest.mark.parametrize(
    ("options", "flags"),
    [
        ({}, ()),
        ({"env": ["A=b", "PATH=/x:/bin"]}, ("--env", "A=b", "--env", "PATH=/x:/bin")),
        ({"cwd": "/tmp"}, ("--cwd", "/tmp")),
        ({"user": "7:8"}, ("--user", "7:8")),
        ({"user": "7"}, ("--user", "7")),
        ({"tty": True}, ("--tty",)),
        ({"read_only": True}, ("--read-only",)),
        ({"network": "host"}, ("--net-host",)),
        ({"memory": 64 << 20}, ("--memory-limit", str(64 << 20))),
        ({"cpus": 0.5}, ("--cpus", "0.5")),
        ({"cap_add": ["net_admin"]}, ("--cap-add", "CAP_NET_ADMIN")),
        ({"cap_drop": ["CHOWN"]}, ("--cap-drop", "CAP_CHOWN")),
        ({"annotations": {"a": "b"}}, ("--annotation", "a=b")),
        (
            {"mounts": [{"source": "/tmp", "target": "/mnt", "options": ["rbind", "ro"]}]},
            ("--mount", "type=bind,src=/tmp,dst=/mnt,options=rbind:ro"),
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
async def test_a_spec_is_the_one_that_ctr_makes(node: Node, options: dict[str, Any], flags: tuple[str, ...]) -> None:
    await node.ok("create", image=BUSYBOX, command=SLEEP, **options)
    if "--user" in flags and node.ctr.host.version == "1.6":  # its ctr has no such option
        return
    if {"--tty", "--net-host"} & set(
        flags
    ):  # for which `ctr run` wants a terminal itself, and files that the host lacks
        await asyncio.to_thread(node.ctr, "containers", "create", *flags, BUSYBOX, "theirs", *SLEEP)
    else:
        await asyncio.to_thread(node.ctr.run, "theirs", *SLEEP, options=flags)

    ours, theirs = await node.spec(), await node.spec("theirs")
    theirs["linux"]["cgroupsPath"] = theirs["linux"]["cgroupsPath"].replace("theirs", "web.1")
    cpu = theirs["linux"]["resources"].get("cpu", {})
    if cpu.pop("shares", 1024) == 1024 and not cpu:  # the default of an option of `ctr run`
        theirs["linux"]["resources"].pop("cpu", None)

    expected = {"/ociVersion"}
    if node.ctr.host.version == "1.6":
        # A path more is masked than 1.6 knew.
        assert "/sys/devices/virtual/powercap" not in theirs["linux"]["maskedPaths"]
        expected.add("/linux/maskedPaths")
    assert differing(ours, theirs) == expected
    assert set(theirs["linux"]["maskedPaths"]) <= set(ours["linux"]["maskedPaths"])


async def test_a_privileged_spec_is_the_one_that_ctr_makes(node: Node) -> None:
    await node.ok("create", image=BUSYBOX, command=SLEEP, privileged=True)
    flags = ("--privileged", "--allow-new-privs", "--")
    await asyncio.to_thread(node.ctr, "containers", "create", *flags, BUSYBOX, "theirs", *SLEEP)

    ours, theirs = await node.spec(), await node.spec("theirs")
    theirs["linux"]["cgroupsPath"] = theirs["linux"]["cgroupsPath"].replace("theirs", "web.1")
    for spec in (ours, theirs):
        spec["process"]["capabilities"] = {kind: set(some) for kind, some in spec["process"]["capabilities"].items()}
    assert "/dev/null" in [device["path"] for device in ours["linux"]["devices"]]
    assert differing(ours, theirs) == {"/ociVersion"}


async def test_a_privileged_container_sees_the_devices_of_the_host(node: Node) -> None:
    await node.ok("run", image=BUSYBOX, command=SLEEP, privileged=True)
    devices = {device["path"]: device for device in (await node.spec())["linux"]["devices"]}
    assert "/dev/null" in devices
    del devices["/dev/ptmx"]  # the container has its own
    task = await node.runtime.tasks.get(node.ctr.namespace, "web.1")
    assert task is not None
    for path, device in devices.items():
        seen = await asyncio.to_thread(node.ctr.host.run, "stat", "-c", "%t:%T", f"/proc/{task.pid}/root{path}")
        assert seen.stdout.strip() == f"{device['major']:x}:{device['minor']:x}"


async def test_a_record_is_the_one_that_ctr_makes(node: Node) -> None:
    await node.ok("create", image=BUSYBOX, command=SLEEP)
    await asyncio.to_thread(node.ctr, "containers", "create", BUSYBOX, "theirs", *SLEEP)

    ours, theirs = await node.record(), await node.record("theirs")

    assert ours["Labels"].pop(labels.COMMAND)
    for key in ("Labels", "Image", "Runtime", "Snapshotter"):
        assert ours[key] == theirs[key]
    assert ours["SnapshotKey"] == "web.1"


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        (None, {"uid": 0, "gid": 0, "additionalGids": [0, 50]}),
        ("ann", {"uid": 1000, "gid": 1001, "additionalGids": [1001, 50, 29]}),
        ("1000", {"uid": 1000, "gid": 1001, "additionalGids": [1001, 50, 29]}),
        ("ann:audio", {"uid": 1000, "gid": 29, "additionalGids": [29]}),
        ("1000:5", {"uid": 1000, "gid": 5, "additionalGids": [5]}),
        ("4000:staff", {"uid": 4000, "gid": 50, "additionalGids": [50]}),
    ],
)
async def test_users_and_groups_are_those_of_the_image(node: Node, user: str | None, expected: dict[str, Any]) -> None:
    files = {"etc/passwd": PASSWD, "usr/lib/groups": GROUP, "etc/group": "/../../usr/lib/groups"}
    await asyncio.to_thread(put_image, node.ctr, USERS, layers=[{"etc/passwd": b"ann:x:1:1::/:\n"}, files])

    await node.ok("create", image=USERS, command=SLEEP, **({"user": user} if user else {}))
    found = (await node.spec())["process"]["user"]
    assert found == expected

    if user and node.ctr.host.version == "1.6":  # its ctr has no such option
        return
    await asyncio.to_thread(node.ctr.run, "theirs", *SLEEP, options=("--user", user) if user else (), image=USERS)
    assert found == (await node.spec("theirs"))["process"]["user"]


async def test_an_image_says_how_it_is_run(node: Node) -> None:
    config = {
        "Entrypoint": ["/bin/sh", "-c"],
        "Cmd": ["exit 3"],
        "Env": ["PATH=/bin", "A=1"],
        "WorkingDir": "/tmp",
        "User": "ann:staff",
        "StopSignal": "SIGQUIT",
        "Labels": {"app": "web", "containerd.io/gc.root": "x", "containerd-bridge/remove": "true"},
    }
    layers = [{"etc/passwd": PASSWD, "etc/group": GROUP}]
    await asyncio.to_thread(put_image, node.ctr, USERS, config=config, layers=layers)

    await node.ok("create", image=USERS, labels={"mine": "1"}, name="shop", env=["B=2", "A"])

    process = (await node.spec())["process"]
    assert process["args"] == ["/bin/sh", "-c", "exit 3"]
    assert (process["env"], process["cwd"]) == (["PATH=/bin", "B=2"], "/tmp")
    assert (process["user"]["uid"], process["user"]["gid"]) == (1000, 50)
    found = (await node.record())["Labels"]
    assert found.pop(labels.COMMAND)
    assert found == {
        "app": "web",
        "mine": "1",
        "nerdctl/name": "shop",
        "io.containerd.image.config.stop-signal": "SIGQUIT",
    }
    assert (await node.ok("start")).pid > 0
    assert (await node.runtime.tasks.wait(node.ctr.namespace, "web.1")).exit_status == 3


async def test_a_user_that_is_not_there_is_told_and_nothing_is_left(node: Node) -> None:
    code, sentence = await node.failure("create", image=BUSYBOX, user="nobody")
    assert (code, "there is no user 'nobody'" in sentence) == ("invalid_argument", True)
    assert left(node.ctr) == NOTHING


async def test_limits_and_mounts_hold_inside(node: Node) -> None:
    shared = node.ctr.host.shared / node.ctr.namespace
    shared.mkdir()
    (shared / "in").write_text("from outside")
    script = "cat /mnt/in > /mnt/out; hostname >> /mnt/out; id -u >> /mnt/out; echo $A >> /mnt/out; pwd >> /mnt/out"
    await node.ok(
        "run",
        image=BUSYBOX,
        command=["sh", "-c", script],
        mounts=[{"source": str(shared), "target": "/mnt"}, {"type": "tmpfs", "target": "/scratch"}],
        hostname="inside",
        user="12:13",
        env=["A=b c"],
        cwd="/scratch",
        memory=64 << 20,
        cpus=0.5,
        pids_limit=50,
    )
    shared.chmod(0o777)
    await node.runtime.tasks.wait(node.ctr.namespace, "web.1")
    assert (shared / "in").exists()
    resources = (await node.spec())["linux"]["resources"]
    assert resources["memory"] == {"limit": 64 << 20}
    assert (resources["cpu"]["quota"], resources["cpu"]["period"], resources["pids"]) == (
        50_000,
        100_000,
        {"limit": 50},
    )


async def test_a_whole_spec_is_taken_as_it_is(node: Node) -> None:
    await node.ok("create", "model", image=BUSYBOX, command=["sh", "-c", "exit 7"])
    spec = await node.spec("model")
    spec["linux"]["cgroupsPath"] = f"/{node.ctr.namespace}/whole"
    spec["annotations"] = {"its": "own"}

    await node.ok("create", "whole", image=BUSYBOX, spec=spec)

    assert await node.spec("whole") == spec
    await node.ok("start", "whole")
    assert (await node.runtime.tasks.wait(node.ctr.namespace, "whole")).exit_status == 7


async def test_runtime_options_stay_with_the_record(node: Node) -> None:
    """moby's client lost them when it loaded a container again; here every later task gets them from containerd itself."""
    root = f"/run/{node.ctr.namespace}"
    await node.ok("create", image=BUSYBOX, command=SLEEP, runc={"root": root, "no_new_keyring": True})
    async with ContainerdRuntime(node.ctr.host.address) as another:
        await Node(another, node.ctr).ok("start")
    listed = node.ctr.host.run("ls", f"{root}/{node.ctr.namespace}").stdout.split()
    assert listed == ["web.1"]


async def test_output_goes_where_the_command_says(node: Node) -> None:
    file = node.ctr.host.shared / f"{node.ctr.namespace}.log"
    # One stream: of two that come at once, containerd's shim now and then leaves one line in the file.
    await node.ok("run", image=BUSYBOX, command=["echo", "out"], stdio=f"file://{file}")
    await node.runtime.tasks.wait(node.ctr.namespace, "web.1")
    await eventually(lambda: asyncio.to_thread(lambda: file.exists() and file.read_text() == "out\n"))


# -- once, and nobody else's


async def test_the_same_command_finds_what_it_made(node: Node) -> None:
    first = await node.ok("create", image=BUSYBOX, command=SLEEP, id="once")
    assert await node.ok("create", image=BUSYBOX, command=SLEEP, id="once") == first  # of the journal
    again = await node.without_journal().ok("create", image=BUSYBOX, command=SLEEP, id="once")
    assert (first.already, again.already, again.container) == (False, True, "web.1")
    place = Place(runtime=node.runtime, node="node", namespace=node.ctr.namespace, container="web.1")
    assert await creation.created_by(place, "once") == again
    assert await creation.created_by(place, "another") is None


async def test_a_run_that_comes_again_starts_nothing_twice(node: Node) -> None:
    first = await node.ok("run", image=BUSYBOX, command=SLEEP, id="once")
    again = await node.without_journal().ok("run", image=BUSYBOX, command=SLEEP, id="once")
    assert (again.pid, again.already) == (first.pid, True)


@pytest.mark.parametrize("verb", ["create", "run"])
async def test_a_dry_run_makes_nothing_that_stays_and_takes_up_nothing_that_is_there(node: Node, verb: str) -> None:
    judged = await node.ok(verb, image=BUSYBOX, command=SLEEP, id="once", dry_run=True)
    assert (type(judged), judged.rule) == (Judged, "default")
    assert left(node.ctr) == NOTHING
    await node.ok("create", image=BUSYBOX, command=SLEEP, id="once")
    code, _ = await node.without_journal().failure(verb, image=BUSYBOX, command=SLEEP, id="once", dry_run=True)
    assert code == "already_exists"
    assert await asyncio.to_thread(node.ctr.status, "web.1") is None


async def test_an_id_that_is_taken_is_told_and_left_alone(node: Node) -> None:
    await asyncio.to_thread(node.ctr.run, "web.1", *SLEEP)
    before = await node.record()
    code, sentence = await node.failure("run", image=BUSYBOX, command=SLEEP)
    assert code == "already_exists"
    assert sentence.startswith("container web.1 exists already in namespace")
    assert await node.record() == before
    assert await asyncio.to_thread(node.ctr.status, "web.1") == "RUNNING"


async def test_a_snapshot_that_somebody_kept_is_told_and_left_alone(node: Node) -> None:
    await node.ok("create", image=BUSYBOX, command=SLEEP)
    await node.ok("delete", keep_snapshot=True)
    code, sentence = await node.failure("create", image=BUSYBOX, command=SLEEP)
    assert code == "already_exists"
    assert "snapshot web.1 of overlayfs" in sentence
    assert left(node.ctr) == NOTHING | {"snapshots": ["web.1"]}


# -- nothing is left


async def test_an_image_is_unpacked_where_it_is_not_yet(node: Node) -> None:
    await node.ok("create", image=BUSYBOX, command=["true"], snapshotter="native")
    assert (await node.ok("start")).pid > 0
    record = await node.record()
    assert record["Snapshotter"] == "native"
    content = await asyncio.to_thread(node.ctr, "content", "ls")
    assert "containerd.io/gc.ref.snapshot.native=" in content
    assert left(node.ctr)["leases"] == []
    await node.ok("delete", force=True)
    # `fresh_namespace` knows only the default snapshotter.
    for line in node.ctr("snapshots", "--snapshotter", "native", "ls").splitlines()[1:]:
        node.ctr("snapshots", "--snapshotter", "native", "rm", line.split()[0])


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("cancelled", [False, True], ids=["failed", "cancelled"])
async def test_whichever_step_fails_nothing_is_left(node: Node, cancelled: bool, after: bool) -> None:
    command = Run(image=BUSYBOX, command=SLEEP)
    counting = Faulty(node.runtime)
    await creation.run(_place(counting, node, "count"), command)
    await node.ok("delete", "count", force=True)
    steps = counting.calls
    assert {"leases.create", "snapshots.prepare", "containers.create", "tasks.create", "tasks.start"} <= set(steps)

    for step, name in enumerate(steps):
        if name == "leases.delete":
            continue  # the container is made; a lease that cannot be deleted expires, or goes with the next start
        if name == "containers.create" and after and not cancelled:
            continue  # it is made, see the next test
        error = None if cancelled else CommandFailed("internal", "injected")
        place = _place(Faulty(node.runtime, step, error, after=after), node, f"step{step}")
        task = asyncio.ensure_future(creation.run(place, command))
        await asyncio.wait({task})
        if name == "tasks.start" and after and not cancelled:
            assert task.result().pid > 0  # only the answer was lost, and it is looked whether it runs
            await node.ok("delete", f"step{step}", force=True)
        else:
            failed = task.cancelled() or isinstance(task.exception(), CommandFailed)
            assert failed, f"{name} was made to fail, and the command did not"
        if name == "containers.create" and cancelled and after:
            # It was made, and nobody waited for that any more: it is whole.
            assert left(node.ctr) == NOTHING | {"containers": [f"step{step}"], "snapshots": [f"step{step}"]}
            await node.ok("delete", f"step{step}")
        assert left(node.ctr) == NOTHING, f"after {name}"


async def test_an_answer_that_is_lost_is_no_failure_where_the_container_is_there(node: Node) -> None:
    counting = Faulty(node.runtime)
    await creation.create(_place(counting, node, "count"), Create(image=BUSYBOX, command=SLEEP))
    step = counting.calls.index("containers.create")
    lost = CommandFailed("unknown", "the connection broke off")
    place = _place(Faulty(node.runtime, step, lost, after=True), node, "web.1")

    await creation.create(place, Create(image=BUSYBOX, command=SLEEP))

    assert (await node.ok("start")).pid > 0


async def test_what_cannot_be_run_is_not_left_behind(node: Node) -> None:
    code, sentence = await node.failure("run", image=BUSYBOX, command=["nonesuch"])
    assert code == "unknown"
    assert "executable file not found" in sentence
    assert left(node.ctr) == NOTHING


def _place(runtime: Any, node: Node, container: str) -> Place:
    return Place(
        runtime=runtime,
        node="node",
        namespace=node.ctr.namespace,
        container=container,
        command_id=f"c-{container}",
        permit=anything,
    )


# -- rm


async def test_with_rm_a_container_goes_when_it_has_ended(node: Node) -> None:
    await node.ok("run", image=BUSYBOX, command=["sh", "-c", "exit 3"], rm=True)
    await node.until_gone()
    assert left(node.ctr) == NOTHING


async def test_with_rm_it_goes_at_the_next_start_where_the_bridge_was_away(host: Containerd) -> None:
    with host.fresh_namespace() as ctr:
        async with ContainerdRuntime(host.address) as runtime:
            async with Removal("node", runtime, namespaces=[ctr.namespace]) as removal:
                node = Node(runtime, ctr, removal)
                await node.ok("run", "ends", image=BUSYBOX, command=SLEEP, rm=True)
                await node.ok("run", "stays", image=BUSYBOX, command=SLEEP, rm=True)
                await node.ok("run", "mine", image=BUSYBOX, command=["true"])
            await asyncio.to_thread(ctr.kill, "ends")
            await runtime.tasks.wait(ctr.namespace, "ends")
            assert sorted(left(ctr)["containers"]) == ["ends", "mine", "stays"]

            async with Removal("node", runtime, namespaces=[ctr.namespace]) as removal:
                await removal.swept()
                await node.until_gone("ends")
                assert sorted(left(ctr)["containers"]) == ["mine", "stays"]
                await asyncio.to_thread(ctr.kill, "stays")
                await node.until_gone("stays")
            assert left(ctr)["containers"] == ["mine"]


async def test_what_a_killed_command_left_goes_at_the_next_start(host: Containerd) -> None:
    with host.fresh_namespace() as ctr:
        async with ContainerdRuntime(host.address) as runtime:
            leased = {labels.COMMAND: "c1", labels.INSTANCE: "another process"}
            lease = leases.lease_of("c1")
            await runtime.leases.create(ctr.namespace, lease, leased)
            image = await runtime.images.resolve(ctr.namespace, BUSYBOX)
            await runtime.snapshots.prepare(
                ctr.namespace, "overlayfs", "web.1", image, labels={labels.COMMAND: "c1"}, lease=lease
            )
            await runtime.leases.create(ctr.namespace, "somebody", {})
            assert left(ctr) == NOTHING | {"leases": [lease, "somebody"], "snapshots": ["web.1"]}

            async with Removal("node", runtime, namespaces=[ctr.namespace]) as removal:
                await removal.swept()

            assert left(ctr) == NOTHING | {"leases": ["somebody"]}
