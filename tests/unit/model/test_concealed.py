"""Whoever may only look is told that there are arguments, variables and annotations, and not what stands in them."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.outcomes import ContainerInfo, Done, ExecInfo, InspectResult, PidList, ProcessInfo
from bridge.model.outcomes.redaction import HIDDEN, concealed, concealed_spec

CANARY = "canary-of-8a1f"
HOOK = {"path": "/bin/hook", "args": ["hook", CANARY], "env": [f"TOKEN={CANARY}"]}
SPEC = {
    "hostname": "web",
    "process": {"args": ["nginx", "-g", CANARY], "env": ["PATH=/bin", f"TOKEN={CANARY}", CANARY], "cwd": "/"},
    "annotations": {"key": CANARY},
    "hooks": {"createRuntime": [HOOK]},
    "mounts": [{"destination": "/x"}],
}


def test_names_and_lengths_are_told() -> None:
    assert concealed_spec(SPEC) == {
        "hostname": "web",
        "process": {
            "args": ["nginx", HIDDEN, HIDDEN],
            "env": [f"PATH={HIDDEN}", f"TOKEN={HIDDEN}", HIDDEN],
            "cwd": "/",
        },
        "annotations": {"key": HIDDEN},
        "hooks": {"createRuntime": [{"path": "/bin/hook", "args": ["hook", HIDDEN], "env": [f"TOKEN={HIDDEN}"]}]},
        "mounts": [{"destination": "/x"}],
    }


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["sh", "-c", CANARY], ["sh", HIDDEN, HIDDEN]),
        ([f"postgres: {CANARY}"], ["postgres:", HIDDEN]),
        ([], []),
        ([""], [HIDDEN]),
        (None, None),
    ],
)
def test_of_a_process_the_program_is_told(command: list[str] | None, told: list[str] | None) -> None:
    seen = concealed(PidList(processes=[ProcessInfo(pid=1, name="sh", command=command)]))
    assert seen == PidList(processes=[ProcessInfo(pid=1, name="sh", command=told)])


def test_inspect_is_covered_as_a_whole() -> None:
    container = ContainerInfo(namespace="default", id="web.1", labels={"tier": "web"}, spec=SPEC)
    whole = InspectResult(
        container=container,
        processes=[ProcessInfo(pid=1, command=["sh", CANARY])],
        execs=[ExecInfo(exec_id="x", status="running")],
    )
    told = msgspec.json.encode(concealed(whole))
    assert CANARY.encode() not in told
    assert b"tier" in told
    assert concealed(Done()) == Done()


PLACES = ("process", "annotations", "hooks", "process.args", "process.env", "process.commandLine")
ANY = st.recursive(
    st.just(CANARY) | st.none() | st.integers(),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "args", "env"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@given(place=st.sampled_from(PLACES[1:3] + PLACES[4:]), value=ANY)
def test_nothing_gets_through_whatever_stands_there(place: str, value: Any) -> None:
    """But for the word that stands where the program should."""
    *outer, last = place.split(".")
    spec: dict[str, Any] = {"process": {last: value}} if outer else {last: value}
    assert CANARY not in str(concealed_spec(spec)).replace(f"'args': ['{CANARY}'", "")


@pytest.mark.parametrize("value", [CANARY, [CANARY], 7])
def test_a_process_that_is_none_is_told_as_hidden(value: Any) -> None:
    assert concealed_spec({"process": value}) == {"process": HIDDEN}
    assert concealed_spec({"process": {"args": {"x": CANARY}}}) == {"process": {"args": HIDDEN}}
