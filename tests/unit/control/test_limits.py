"""What `update` sends to the task and writes into the record, and what it refuses before anything is sent.

The same OCI resources go to hosts of both versions of control groups: what they come to there is the runtime's affair.
"""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bridge.control import limits
from bridge.control.limits import changed_spec, resources_of
from bridge.control.verb import Place
from bridge.errors import BadEnvelope, Code, CommandFailed
from bridge.model.codec import decode_as
from bridge.model.commands import Update
from bridge.model.outcomes import Updated
from tests.unit.control.small_runtime import SmallRuntime, SmallTask, failure

SPEC: dict[str, Any] = {
    "ociVersion": "1.2.1",
    "annotations": {"kept": "1", "gone": "2"},
    "linux": {
        "cgroupsPath": "/default/web.1",
        "resources": {"devices": [{"allow": False}], "memory": {"limit": 64 << 20, "swap": 128 << 20}},
    },
}


@pytest.fixture
def runtime() -> SmallRuntime:
    return SmallRuntime()


@pytest.fixture
def place(runtime: SmallRuntime) -> Place:
    async def allowed(**_: Any) -> None: ...

    return Place(runtime=runtime, node="node", namespace="default", container="web.1", permit=allowed)


def resources(runtime: SmallRuntime) -> Any:
    spec = runtime.records["default", "web.1"].spec
    assert spec is not None
    return spec["linux"]["resources"]


async def failing(place: Place, command: Update) -> tuple[str, str]:
    with pytest.raises(CommandFailed) as failed:
        await limits.update(place, command)
    return failed.value.code, failed.value.message


# -- what is sent


@pytest.mark.parametrize(
    ("command", "sent"),
    [
        (Update(memory="512m"), {"memory": {"limit": 512 << 20}}),
        (Update(memory=-1, memory_swap="unlimited"), {"memory": {"limit": -1, "swap": -1}}),
        (Update(memory="1g", memory_swap="2g"), {"memory": {"limit": 1 << 30, "swap": 2 << 30}}),
        (Update(memory="1g", memory_swap=-1), {"memory": {"limit": 1 << 30, "swap": -1}}),
        (Update(memory_reservation="1m"), {"memory": {"reservation": 1 << 20}}),
        (Update(cpus=1.5), {"cpu": {"quota": 150_000, "period": 100_000}}),
        (Update(cpus=0.01), {"cpu": {"quota": 1_000, "period": 100_000}}),
        (Update(cpu_quota=-1), {"cpu": {"quota": -1}}),
        (Update(cpu_quota=2000, cpu_period=4000), {"cpu": {"quota": 2000, "period": 4000}}),
        (Update(cpu_shares=512), {"cpu": {"shares": 512}}),
        (Update(cpuset_cpus="0-2,4", cpuset_mems="0"), {"cpu": {"cpus": "0-2,4", "mems": "0"}}),
        (Update(pids_limit=50), {"pids": {"limit": 50}}),
        (Update(pids_limit=-1), {"pids": {"limit": -1}}),
        (Update(blkio_weight=500), {"blockIO": {"weight": 500}}),
        (
            Update(device_read_bps={"8:16": 5, "8:0": 0}, device_write_iops={"8:0": 9}),
            {
                "blockIO": {
                    "throttleReadBpsDevice": [
                        {"major": 8, "minor": 0, "rate": 0},
                        {"major": 8, "minor": 16, "rate": 5},
                    ],
                    "throttleWriteIOPSDevice": [{"major": 8, "minor": 0, "rate": 9}],
                }
            },
        ),
        (
            Update(device_write_bps={}, device_read_iops={"8:0": 7}),
            {"blockIO": {"throttleReadIOPSDevice": [{"major": 8, "minor": 0, "rate": 7}]}},
        ),
        (
            Update(device_write_bps={"8:0": 6}),
            {"blockIO": {"throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 6}]}},
        ),
        (Update(annotations={"a": "b"}), {}),
    ],
)
def test_only_what_is_asked_for_is_sent(command: Update, sent: dict[str, Any]) -> None:
    assert resources_of(command) == sent


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        (Update(memory="a lot"), "memory 'a lot' is no size: give bytes, or a number with a unit such as 512m"),
        (Update(memory="2g", memory_swap="1g"), "memory_swap 1g is for memory and swap together: it cannot be less"),
        (Update(cpus=1, cpu_quota=5000), "cpus stands for cpu_quota and cpu_period: leave one of them out"),
        (Update(cpus=1, cpu_period=5000), "cpus stands for cpu_quota and cpu_period: leave one of them out"),
        (Update(cpu_quota=999), "cpu_quota 999 is too little: give at least 1000, or -1 for no limit"),
        (Update(cpu_quota=0), "cpu_quota 0 is too little"),
        (Update(pids_limit=0), "pids_limit 0 would leave no process: give at least 1, or -1 for no limit"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_give(command: Update, sentence: str) -> None:
    with pytest.raises(CommandFailed, match=sentence) as failed:
        resources_of(command)
    assert failed.value.code == "invalid_argument"


@pytest.mark.parametrize(
    "body",
    [
        '{"cpuset_cpus":"0-"}',
        '{"cpuset_cpus":"a"}',
        '{"cpuset_cpus":"0\\n"}',
        '{"cpuset_cpus":""}',
        '{"cpu_shares":1}',
        '{"cpu_period":999}',
        '{"cpus":0}',
        '{"pids_limit":-2}',
        '{"blkio_weight":9}',
        '{"device_read_bps":{"/dev/sda":1}}',
        '{"device_read_bps":{"8:0\\n":1}}',
        '{"device_write_iops":{"8:0":-1}}',
        '{"memory":1.5}',
    ],
)
def test_what_is_out_of_the_kernels_bounds_is_no_command(body: str) -> None:
    with pytest.raises(BadEnvelope):
        decode_as(body.encode(), Update)


# -- the spec


def test_devices_that_are_not_named_keep_their_limits_and_zero_takes_one_away() -> None:
    def rates(spec: dict[str, Any], **command: Any) -> dict[str, Any]:
        return changed_spec(spec, resources_of(Update(**command)), {})

    first = rates(SPEC, device_read_bps={"8:0": 1, "8:16": 2}, device_write_bps={"8:0": 3})
    second = rates(first, device_read_bps={"8:0": 0, "8:32": 4})
    assert second["linux"]["resources"]["blockIO"] == {
        "throttleReadBpsDevice": [{"major": 8, "minor": 16, "rate": 2}, {"major": 8, "minor": 32, "rate": 4}],
        "throttleWriteBpsDevice": [{"major": 8, "minor": 0, "rate": 3}],
    }
    assert rates(second, device_read_bps={"8:0": 0, "8:32": 4}) == second


def test_the_spec_keeps_what_is_not_changed() -> None:
    changed = changed_spec(SPEC, {"memory": {"limit": 5}, "pids": {"limit": 9}}, {})
    assert changed == {
        **SPEC,
        "linux": {
            "cgroupsPath": "/default/web.1",
            "resources": {
                "devices": [{"allow": False}],
                "memory": {"limit": 5, "swap": 128 << 20},
                "pids": {"limit": 9},
            },
        },
    }
    assert SPEC["linux"]["resources"]["memory"]["limit"] == 64 << 20


def test_annotations_are_added_and_empty_ones_taken_away() -> None:
    assert changed_spec(SPEC, {}, {"new": "3", "gone": ""})["annotations"] == {"kept": "1", "new": "3"}


@pytest.mark.parametrize(
    "spec", [{}, {"linux": None}, {"linux": {"resources": None}}, {"linux": {"resources": {"cpu": None}}}]
)
def test_a_spec_without_limits_gets_some(spec: dict[str, Any]) -> None:
    assert changed_spec(spec, {"cpu": {"shares": 5}}, {})["linux"]["resources"]["cpu"] == {"shares": 5}


# -- the verb


async def test_the_task_and_the_record_have_the_new_limits(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"), spec=SPEC)
    done = await limits.update(place, Update(memory="32m", annotations={"a": "b"}))
    assert done == Updated(task=True, record=True, resources={"memory": {"limit": 32 << 20}})
    assert runtime.updates == [({"memory": {"limit": 32 << 20}}, {"a": "b"})]
    assert resources(runtime)["memory"] == {"limit": 32 << 20, "swap": 128 << 20}
    assert runtime.calls.index("update") < runtime.calls.index("respec")


@pytest.mark.parametrize("status", [None, "stopped"])
async def test_without_a_task_the_next_one_gets_them(runtime: SmallRuntime, place: Place, status: Any) -> None:
    runtime.add(task=SmallTask(status) if status else None, spec=SPEC)
    assert await limits.update(place, Update(pids_limit=5)) == Updated(
        task=False, record=True, resources={"pids": {"limit": 5}}
    )
    assert "update" not in runtime.calls
    assert resources(runtime)["pids"] == {"limit": 5}


@pytest.mark.parametrize("status", ["created", "paused", "pausing", "unknown"])
async def test_a_task_in_any_other_state_is_updated(runtime: SmallRuntime, place: Place, status: Any) -> None:
    runtime.add(task=SmallTask(status), spec=SPEC)
    assert (await limits.update(place, Update(pids_limit=5))).task


async def test_task_only_leaves_the_record(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"), spec=SPEC)
    done = await limits.update(place, Update(pids_limit=5, task_only=True))
    assert (done.task, done.record) == (True, False)
    assert runtime.records["default", "web.1"].spec == SPEC


async def test_task_only_needs_a_task(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("stopped"), spec=SPEC)
    assert await failing(place, Update(pids_limit=5, task_only=True)) == (
        "failed_precondition",
        "container web.1 does not run: leave task_only out, or start it first",
    )


@pytest.mark.parametrize("code", ["not_found", "failed_precondition", "unknown"])
async def test_a_task_that_ends_meanwhile_leaves_the_limits_to_the_next(
    runtime: SmallRuntime, place: Place, code: Code
) -> None:
    runtime.add(task=SmallTask("running"), spec=SPEC)

    async def ends(*_: object) -> None:
        runtime.made["default", "web.1"].end(0)
        raise failure(code)

    runtime.tasks.update = ends  # type: ignore[method-assign, assignment]
    assert await limits.update(place, Update(pids_limit=5)) == Updated(
        task=False, record=True, resources={"pids": {"limit": 5}}
    )


@pytest.mark.parametrize(
    "words",
    [
        "runc did not terminate successfully: exit status 1: unable to set memory limit to 4096 (current usage: 5)",
        "runc did not terminate successfully: exit status 1: unable to set memory limit to 4096 (current usage: 5)\n: unknown",
        "unable to set memory limit to 4096 (current usage: 5)",
    ],
)
async def test_what_the_runtime_refuses_is_one_sentence_and_not_written_down(
    runtime: SmallRuntime, place: Place, words: str
) -> None:
    runtime.add(task=SmallTask("running"), spec=SPEC)
    runtime.fail["update"] = [CommandFailed("unknown", f"cannot: {words}", containerd=words)]
    assert await failing(place, Update(memory=4096)) == (
        "failed_precondition",
        "container web.1 does not take these limits: unable to set memory limit to 4096 (current usage: 5)",
    )
    assert runtime.records["default", "web.1"].spec == SPEC


async def test_a_record_that_cannot_be_changed_says_that_the_task_was(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"), spec=SPEC)
    runtime.fail["respec"] = [failure("unavailable", "went")]
    assert await failing(place, Update(pids_limit=5)) == (
        "unavailable",
        "the task of container web.1 has its new limits, but the next one will not: containerd went",
    )


async def test_a_spec_that_cannot_be_read_is_left_alone_and_so_is_the_task(runtime: SmallRuntime, place: Place) -> None:
    runtime.add(task=SmallTask("running"))
    record = runtime.records["default", "web.1"]
    runtime.records["default", "web.1"] = structs.replace(record, spec=None)
    assert await failing(place, Update(pids_limit=5)) == (
        "failed_precondition",
        "the spec in the record of container web.1 cannot be read: update its task with task_only",
    )
    assert {"update", "respec"}.isdisjoint(runtime.calls)
    assert (await limits.update(place, Update(pids_limit=5, task_only=True))).task


@pytest.mark.parametrize("memory", ["200m", -1])
async def test_memory_beyond_the_limit_of_memory_and_swap_is_refused(
    runtime: SmallRuntime, place: Place, memory: str | int
) -> None:
    runtime.add(task=SmallTask("running"), spec=SPEC)
    code, sentence = await failing(place, Update(memory=memory))
    assert (code, "give memory_swap too" in sentence) == ("invalid_argument", True)
    assert "update" not in runtime.calls
    await limits.update(place, Update(memory=memory, memory_swap=-1))


async def test_nothing_to_change_is_a_mistake(runtime: SmallRuntime, place: Place) -> None:
    runtime.add()
    assert (await failing(place, Update()))[0] == "invalid_argument"


async def test_a_container_that_is_not_there_is_not_found(place: Place) -> None:
    assert (await failing(place, Update(pids_limit=5)))[0] == "not_found"
