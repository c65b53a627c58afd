"""Commands: options that do not exist are refused, and signals and groups are read as people write them."""

import contextlib
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.errors import BadEnvelope
from bridge.model import commands, outcomes
from bridge.model.codec import decode_as
from bridge.model.commands import COMMANDS, GROUPS, Command, Delete, Kill, Stop, groups_from, signal_number
from bridge.model.commands.checkpointing import MIGRATING


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_every_verb_says_its_group_its_target_and_its_result(verb: str) -> None:
    command = COMMANDS[verb]
    assert command.verb == verb
    assert command.group in GROUPS
    assert command.targets in {"node", "namespace", "container", "any"}
    assert command.result.__name__ in outcomes.__all__


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_an_empty_object_is_the_command_with_its_defaults(verb: str) -> None:
    assert decode_as(b"{}", COMMANDS[verb]) == COMMANDS[verb]()


@pytest.mark.parametrize("verb", sorted(COMMANDS))
def test_a_misspelt_option_is_refused_by_its_name(verb: str) -> None:
    with pytest.raises(BadEnvelope, match="singal"):
        decode_as(b'{"singal":"KILL"}', COMMANDS[verb])


def test_the_defaults_are_those_of_docker() -> None:
    assert (Stop().grace, Stop().signal) == (10.0, None)
    assert (Kill().signal, Kill().all, Kill().exec_id) == ("SIGTERM", False, None)
    assert (Delete().force, Delete().keep_snapshot) == (False, False)


def test_what_makes_containers_or_takes_images_in_has_a_group_of_its_own() -> None:
    making = {verb for verb, command in COMMANDS.items() if command.group == "create"}
    assert making == {"create", "run", "pull", "import", "rmi"}
    assert COMMANDS["images"].group == "observe"


def test_only_lifecycle_commands_change_how_a_container_runs() -> None:
    changing = {verb for verb, command in COMMANDS.items() if command.group == "lifecycle"}
    assert changing == {"start", "restart", "pause", "resume", "update", "kill", "stop", "delete", "cancel"}


@pytest.mark.parametrize("name", ["a", "01K9ZQ0000000000000000000A", "deploy-7.web_1", "x" * 64])
def test_a_sender_may_name_its_command(name: str) -> None:
    assert decode_as(b'{"id":"%s"}' % name.encode(), commands.Pause).id == name


@pytest.mark.parametrize("name", ["", "a b", "a\\n", ".a", "a..b", "a.", "../a", "*", ">", "é", "x" * 65])
def test_a_name_that_could_not_be_a_key_or_a_header_is_refused(name: str) -> None:
    with pytest.raises(BadEnvelope, match="id"):
        decode_as(b'{"id":"%s"}' % name.encode(), commands.Pause)


@pytest.mark.parametrize("grace", ["-1", "86401", "null", '"10"', "1e999"])
def test_a_grace_that_is_none_is_refused(grace: str) -> None:
    with pytest.raises(BadEnvelope):
        decode_as(b'{"grace":%s}' % grace.encode(), Stop)


@pytest.mark.parametrize(
    ("given_", "number"),
    [
        ("SIGTERM", 15),
        ("TERM", 15),
        ("term", 15),
        (" sigterm ", 15),
        ("9", 9),
        (9, 9),
        (64, 64),
        (1, 1),
        ("SIGRTMIN", 34),
        ("RTMIN+3", 37),
        ("SIGRTMAX-2", 62),
        ("rtmax", 64),
        ("SIGRTMIN+30", 64),
        ("CLD", 17),
        ("IOT", 6),
    ],
)
def test_a_signal_is_read_as_people_write_it(given_: str | int, number: int) -> None:
    assert signal_number(given_) == number


@pytest.mark.parametrize("name", sorted(known.name for known in signal.Signals))
def test_every_signal_of_linux_has_its_number(name: str) -> None:
    assert signal_number(name) == signal.Signals[name]
    assert signal_number(name.removeprefix("SIG").lower()) == signal.Signals[name]


@pytest.mark.parametrize(
    "given_",
    [
        "",
        "SIG",
        "SIG_DFL",
        "_DFL",
        "SIG_BLOCK",
        "_SETMASK",
        "FOO",
        "0",
        0,
        65,
        -9,
        "-9",
        "9" * 5000,
        "SIGRTMIN+31",
        "RTMAX-31",
        "RTMIN-1",
        "\u017fIGTERM",
        "٩",
    ],
)
def test_a_signal_that_does_not_exist_is_refused_with_what_to_give(given_: str | int) -> None:
    with pytest.raises(ValueError, match="does not exist: give a name such as SIGTERM or a number from 1 to 64"):
        signal_number(given_)


@given(st.text() | st.integers())
def test_a_signal_is_always_a_number_the_kernel_has(given_: str | int) -> None:
    with contextlib.suppress(ValueError):
        assert 1 <= signal_number(given_) <= 64


@pytest.mark.parametrize(
    ("text", "groups"),
    [
        ("", set()),
        ("none", set()),
        (" , ", set()),
        ("all", set(GROUPS)),
        ("observe", {"observe"}),
        ("observe, lifecycle", {"observe", "lifecycle"}),
        ("observe,observe", {"observe"}),
    ],
)
def test_groups_are_read_from_one_text(text: str, groups: set[str]) -> None:
    assert groups_from(text) == groups


def test_a_group_that_does_not_exist_is_refused_with_the_choice() -> None:
    with pytest.raises(
        ValueError, match="'shell' does not exist: choose from observe, lifecycle, exec, create, checkpoint, all, none"
    ):
        groups_from("observe,shell")


@pytest.mark.parametrize("text", ["all,observe", "none,observe", "lifecycle,none"])
def test_all_and_none_stand_alone(text: str) -> None:
    with pytest.raises(ValueError, match="stands alone"):
        groups_from(text)


def test_every_command_of_the_module_is_in_the_table() -> None:
    assert {*COMMANDS.values(), *MIGRATING} == _under(Command)


def _under(kind: type[Command]) -> set[type[Command]]:
    return {each for child in kind.__subclasses__() for each in {child, *_under(child)}}
