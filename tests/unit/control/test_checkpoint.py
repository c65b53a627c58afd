"""checkpoint and restore in memory: what is asked of whom, and what is left where a step fails, is taken back, or is refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bridge.control.leases import lease_of
from bridge.control.recovery import GoesOn, NotDone
from bridge.control.recovery.checkpointing import recover_checkpoint
from bridge.control.restore_spec import adapted_labels, adapted_spec, same_spec
from bridge.control.verb import Checkpointing, Place
from bridge.control.workshop import Note, Workshop
from bridge.errors import CommandFailed
from bridge.model import labels
from bridge.model.checkpoints import CheckpointOptions
from bridge.model.commands import Checkpoint
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Outcome
from bridge.policy import Permissions, RuleBook
from bridge.ports.checkpoints import TRIES
from bridge.testing.images import memory_image
from tests.unit.control.every_verb import IMAGE, ON, Side, side

KEPT = "n1.default.web=2E1.kept"
TRUSTS = RuleBook(default="allow", spec=Permissions(trust=True, checkpoint_paths=["/"]))


@pytest.fixture
async def here(tmp_path: Path) -> AsyncIterator[Side]:
    async with side(tmp_path, TRUSTS) as one:
        yield one


def status(here: Side, container: str = ON) -> str:
    task = here.containerd.containers["default", container].task
    return "none" if task is None else task.info.status


def left(here: Side) -> list[str]:
    """What is left of commands that it should not be."""
    dumps = here.directory / "checkpoints" / "n1"
    return [*(str(path) for path in dumps.iterdir()), *map(str, here.containerd.leases)]


async def names(here: Side) -> list[str]:
    return [record.name for record in await here.catalogue.list()]


def failure(outcome: Outcome) -> tuple[str, str]:
    assert outcome.error is not None, outcome
    return outcome.error.code, outcome.error.message


@pytest.mark.parametrize("before", ["running", "paused"])
async def test_whatever_a_checkpoint_comes_to_the_task_stands_as_before(here: Side, before: str) -> None:
    if before == "paused":
        await here.ask("pause", ON)
    assert (await here.ask("checkpoint", ON, name="one")).outcome == "ok"
    assert status(here) == before
    here.containerd.criu.fails = "dump"
    here.containerd.criu.says = "no way"
    code, sentence = failure(await here.ask("checkpoint", ON, name="two"))
    assert (code, "no way" in sentence) == ("failed_precondition", True)
    assert (status(here), await names(here), left(here)) == (before, ["kept", "one"], [])


@pytest.mark.parametrize("exits", [False, True])
async def test_what_criu_meets_at_a_bad_moment_runs_on_for_one_and_is_dumped_again(here: Side, exits: bool) -> None:
    pauses: list[str] = []
    frozen = here.containerd.runtime.tasks.pause

    async def pause(namespace: str, container: str) -> None:
        pauses.append(status(here))
        await frozen(namespace, container)

    here.containerd.runtime.tasks.pause = pause  # type: ignore[method-assign]
    here.containerd.criu.bad_moments = TRIES - 1
    outcome = await here.ask("checkpoint", ON, name="one", exit=exits, tcp_established=exits)
    assert outcome.outcome == "ok", outcome.error
    assert pauses == ["running"] * TRIES
    assert (status(here), left(here)) == ("stopped" if exits else "running", [])
    assert await names(here) == ["kept", "one"]


async def test_what_criu_meets_at_a_bad_moment_each_time_runs_on(here: Side) -> None:
    here.containerd.criu.bad_moments = TRIES
    code, sentence = failure(await here.ask("checkpoint", ON, name="one"))
    assert (code, "let it run on for a moment, and try again" in sentence) == ("failed_precondition", True)
    assert (status(here), await names(here), left(here)) == ("running", ["kept"], [])


async def test_what_somebody_else_has_paused_stays_so_whatever_criu_meets(here: Side) -> None:
    await here.ask("pause", ON)
    here.containerd.criu.bad_moments = 1
    code, sentence = failure(await here.ask("checkpoint", ON, name="one"))
    assert (code, "let it run on for a moment, and try again" in sentence) == ("failed_precondition", True)
    assert (status(here), await names(here), left(here)) == ("paused", ["kept"], [])
    assert here.containerd.criu.bad_moments == 0


async def test_a_task_that_ends_in_the_moment_for_which_it_runs_on_is_no_riddle(here: Side) -> None:
    frozen, first = here.containerd.runtime.tasks.pause, True

    async def pause(namespace: str, container: str) -> None:
        nonlocal first
        if not first:
            task = here.containerd.containers["default", ON].task
            assert task is not None
            task.end(3)
        first = False
        await frozen(namespace, container)

    here.containerd.runtime.tasks.pause = pause  # type: ignore[method-assign]
    here.containerd.criu.bad_moments = 1
    code, _ = failure(await here.ask("checkpoint", ON, name="one", exit=True))
    assert code == "failed_precondition"
    assert (status(here), await names(here), left(here)) == ("stopped", ["kept"], [])


async def test_where_the_bus_fails_nothing_is_left_and_it_runs_on(here: Side) -> None:
    here.catalogue.break_off(10)
    assert failure(await here.ask("checkpoint", ON, name="one", exit=True))[0] == "unavailable"
    assert (status(here), await names(here), left(here)) == ("running", ["kept"], [])
    here.catalogue.age(100_000)
    assert await here.catalogue.sweep() == 0  # nor pieces of an archive
    assert (await here.ask("checkpoint", ON, name="one", exit=True)).outcome == "ok"
    assert (status(here), await names(here), left(here)) == ("stopped", ["kept", "one"], [])
    [*_, (event, *where)] = here.checkpointed
    assert (event.checkpoint, where[:2]) == ("n1.default.web=2E1.one", ["default", ON])


async def test_a_checkpoint_is_taken_back_in_the_middle_of_its_dump(here: Side) -> None:
    criu = here.containerd.criu
    criu.held, criu.busy = asyncio.Event(), asyncio.Event()
    asking = asyncio.create_task(here.ask("checkpoint", ON, name="one", id="c-9"))
    await criu.busy.wait()
    cancelling = asyncio.create_task(here.ask("cancel", None, command="c-9"))
    await asyncio.sleep(0)
    criu.held.set()  # nothing stops CRIU
    assert (await cancelling).outcome == "ok"
    assert failure(await asking)[0] == "cancelled"
    assert (status(here), await names(here), left(here)) == ("running", ["kept"], [])


async def test_a_dump_that_goes_on_without_its_bridge_holds_up_nobody_at_the_next_start(
    here: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may take an hour; no command would be taken until then."""
    for name in ("BUSY_S", "AGAIN_S", "MOST_S"):
        monkeypatch.setattr(f"bridge.control.recovery.checkpointing.{name}", 0.001)
    criu, runtime = here.containerd.criu, here.containerd.runtime
    criu.held, criu.busy = asyncio.Event(), asyncio.Event()
    workshop = Workshop(here.directory / "checkpoints", "n1")
    bench = await workshop.open("c-9")
    await bench.note(Note(paused=True))
    await runtime.leases.create("default", lease_of("c-9"), {})
    await runtime.tasks.pause("default", ON)
    dumping = asyncio.create_task(
        runtime.checkpoints.dump("default", ON, bench.images, CheckpointOptions(), ends=False, lease=lease_of("c-9"))
    )
    await criu.busy.wait()
    place = Place(
        runtime=runtime,
        node="n1",
        namespace="default",
        container=ON,
        command_id="c-9",
        checkpointing=Checkpointing(here.catalogue, workshop, here.happened, lambda *_: None),
    )

    with pytest.raises(GoesOn) as on:
        await recover_checkpoint(place, Checkpoint(name="one"), Nanos(0))
    assert status(here) == "paused"
    criu.held.set()
    with pytest.raises(NotDone, match="nothing of it is left"):
        await on.value.result()
    await dumping
    assert (status(here), await names(here), left(here)) == ("running", ["kept"], [])


async def test_what_is_known_to_fail_is_refused_unless_it_is_forced(here: Side) -> None:
    here.containerd.criu.works = False
    here.containerd.criu.says = "too old"
    code, sentence = failure(await here.ask("checkpoint", ON, name="one"))
    assert (code, "too old" in sentence) == ("failed_precondition", True)
    assert (await here.ask("checkpoint", ON, name="one", force=True)).outcome == "ok"
    checked = await here.ask("restore", "new.1", checkpoint=KEPT, check=True)
    assert (checked.outcome, checked.result.verdict.ok) == ("ok", False)
    assert ("default", "new.1") not in here.containerd.containers


async def test_where_a_restore_fails_nothing_is_left_and_what_was_there_is_as_it_was(here: Side) -> None:
    await here.ask("stop", ON, grace=0)
    before = here.containerd.containers["default", ON].record
    snapshots = dict(here.containerd.snapshots)
    here.containerd.criu.fails = "restore"
    for container in ("new.1", ON):
        code, sentence = failure(await here.ask("restore", container, checkpoint=KEPT))
        assert (code, "CRIU says" in sentence) == ("failed_precondition", True)
    after = here.containerd.containers["default", ON].record
    assert (after.labels, after.spec, after.snapshot_key) == (before.labels, before.spec, before.snapshot_key)
    assert ("default", "new.1") not in here.containerd.containers
    assert (here.containerd.snapshots, left(here)) == (snapshots, [])

    here.containerd.criu.fails = ""
    outcome = await here.ask("restore", ON, checkpoint=KEPT)
    assert outcome.outcome == "ok", outcome.error
    restored = outcome.result
    assert restored.pid == here.containerd.containers["default", ON].task.info.pid  # type: ignore[union-attr]
    assert here.containerd.containers["default", ON].record.labels[labels.CHECKPOINT] == KEPT
    assert left(here) == []


@pytest.mark.parametrize("here_as", [None, "docker.io/library/web:old"], ids=["brought", "under another name"])
async def test_an_image_whose_name_has_moved_is_taken_by_its_digest(here: Side, here_as: str | None) -> None:
    memory, name = here.containerd, IMAGE
    await memory.run("default", "old.1", image=name)
    assert (await here.ask("checkpoint", "old.1", name="one")).outcome == "ok"
    old, other = memory.images["default", name], memory_image(name, {"Cmd": ["other"]})
    memory.put_image("default", other)
    digest = old.info.digest
    if here_as is not None:
        memory.put_image("default", memory_image(here_as, {"Cmd": ["x"]}, digest=digest))
    source, taken = "n1.default.old=2E1.one", here_as or f"docker.io/library/web@{digest}"

    checked = (await here.ask("restore", "new.1", checkpoint=source, check=True)).result.verdict
    (finding,) = [one for one in checked.findings if one.check == "image"]
    assert (finding.level, "another one than that it was made from" in finding.says) == ("ok", True)
    assert ((here_as or "is brought along") in finding.says, checked.ok) == (True, True)
    restored = await here.ask("restore", "new.1", checkpoint=source)
    assert restored.outcome == "ok", restored.error
    assert restored.result.image_brought == (here_as is None)
    assert memory.containers["default", "new.1"].record.image == taken
    assert memory.images["default", taken].info.digest == digest
    assert memory.images["default", name] is other
    assert left(here) == []


async def test_what_a_container_was_made_from_is_recorded_and_not_what_is_called_so_by_now(here: Side) -> None:
    memory = here.containerd
    assert (await here.ask("create", "old.1", image=IMAGE)).outcome == "ok"
    await here.ask("start", "old.1")
    old = memory.images["default", IMAGE]
    other = memory_image("docker.io/library/other:1")
    memory.put_image("default", structs.replace(other, info=structs.replace(other.info, name=IMAGE)))

    checked = (await here.ask("checkpoint", "old.1", check=True)).result.verdict
    (finding,) = [one for one in checked.findings if one.check == "image"]
    assert (finding.level, "is not on this node any more" in finding.says) == ("risk", True)
    assert (await here.ask("checkpoint", "old.1", name="without")).outcome == "ok"
    memory.put_image("default", structs.replace(old, info=structs.replace(old.info, name="docker.io/library/x:1")))
    assert (await here.ask("checkpoint", "old.1", name="with")).outcome == "ok"
    records = {record.name: record for record in await here.catalogue.list(container="old.1")}
    assert (records["without"].image_digest, records["with"].image_digest) == ("", old.info.digest)
    archive = b"".join([piece async for piece in here.catalogue.load_image(old.info.digest)])
    assert old.info.digest.removeprefix("sha256:").encode() in archive


async def test_what_goes_while_it_is_taken_along_is_not_replaced_by_what_is_called_so_then(
    here: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else nobody would find anything else under its digest any more."""
    memory, dump, name = here.containerd, here.containerd.runtime.checkpoints.dump, "docker.io/library/new:1"
    memory.put_image("default", memory_image(name, {"Cmd": ["serve"]}))
    await memory.run("default", "new.1", image=name)
    digest = memory.images["default", name].info.digest

    async def moved(*args: Any, **more: Any) -> None:
        await dump(*args, **more)
        memory.put_image("default", memory_image(name, {"Cmd": ["other"]}))

    monkeypatch.setattr(memory.runtime.checkpoints, "dump", moved)
    assert f"any more as {digest}: pull it by that" in failure(await here.ask("checkpoint", "new.1", name="x"))[1]
    with pytest.raises(CommandFailed, match="there is no archive of image"):
        await anext(here.catalogue.load_image(digest))
    assert left(here) == []


@pytest.mark.parametrize(
    ("runc", "cgroup", "container", "ignores"),
    [
        ("1.1.15+ds1", "v2", "new.1", True),
        ("", "v2", "new.1", True),
        ("1.3.6", "v2", "new.1", False),
        ("1.1.15+ds1", "v1", "new.1", False),
        ("1.1.15+ds1", "v2", ON, False),
    ],
)
async def test_what_gets_another_id_gets_another_control_group(
    here: Side, monkeypatch: pytest.MonkeyPatch, runc: str, cgroup: Any, container: str, ignores: bool
) -> None:
    criu, checkpoints = here.containerd.criu, here.containerd.runtime.checkpoints
    criu.host = structs.replace(criu.host, runtime_version=runc, cgroup=cgroup)
    told: list[str] = []
    config = checkpoints.criu_config

    def noted(options: CheckpointOptions) -> str:
        told.append(options.cgroups_mode)
        return config(options)

    monkeypatch.setattr(checkpoints, "criu_config", noted)
    if container == ON:
        await here.ask("delete", ON, force=True)
    outcome = await here.ask("restore", container, checkpoint=KEPT, force=True)
    assert outcome.outcome == "ok", outcome.error
    assert told == ["ignore" if ignores else ""]


async def test_who_may_restore_what(tmp_path: Path) -> None:
    async with side(tmp_path) as here:
        elsewhere = KEPT.replace("default", "other")
        for options in ({"checkpoint": elsewhere}, {"file": "/a", "trust": True}, {"image": "x:1", "trust": True}):
            outcome = await here.ask("restore", "new.1", **options)
            assert outcome.outcome == "refused", options
        assert failure(await here.ask("restore", "new.1", file="/a"))[0] == "refused"
        assert failure(await here.ask("restore", "new.1", image="x:1"))[0] == "failed_precondition"
        assert failure(await here.ask("restore", "new.1"))[0] == "invalid_argument"


# -- the spec


def test_a_spec_is_made_to_fit_its_new_name() -> None:
    spec: dict[str, Any] = {
        "hostname": "web",
        "linux": {"cgroupsPath": "/default/web.1"},
        "annotations": {"org.criu.config": "/evil", "cdi.k8s.io/x": "y", "note": "z"},
    }
    found = adapted_spec(spec, old=("default", "web.1"), new=("other", "web.2"))
    assert found == {"hostname": "web", "linux": {"cgroupsPath": "/other/web.2"}, "annotations": {"note": "z"}}
    assert same_spec(spec, found)
    assert not same_spec(spec, {**found, "mounts": []})


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("system.slice:containerd:web.1", "system.slice:containerd:web.2"),
        ("/own/web.1", "/own/web.2"),
        ("/shared", "/shared-web.2"),
        ("a.slice:b:c", "a.slice:b:c-web.2"),
    ],
)
def test_two_containers_are_never_in_one_control_group(path: str, expected: str) -> None:
    spec = {"linux": {"cgroupsPath": path}}
    assert adapted_spec(spec, old=("default", "web.1"), new=("default", "web.2"))["linux"]["cgroupsPath"] == expected


def test_labels_on_which_others_act_are_left_out() -> None:
    given = {"app": "web", "nerdctl/name": "web", "containerd.io/restart.status": "running", labels.REMOVE: "true"}
    assert adapted_labels(given, same=True) == {"app": "web", "nerdctl/name": "web"}
    assert adapted_labels(given, same=False) == {"app": "web"}


# -- the directories


async def test_what_is_left_in_a_directory_is_swept_but_for_the_only_dump_of_a_task(tmp_path: Path) -> None:
    workshop = Workshop(tmp_path / "dumps", "n1")
    for name in ("over", "open", "only"):
        bench = await workshop.open(name)
        assert bench.path.stat().st_mode & 0o077 == 0
        await bench.note(Note(ended=name == "only"))
    await workshop.sweep(["open"])
    assert sorted(path.name for path in workshop.directory.iterdir()) == ["only", "open"]
