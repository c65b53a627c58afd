"""`run`, `create`, `images`, `pull`, `import` and `rmi`: what people write, what is sent, and how it ends."""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from msgspec import structs

from bridge.model.commands import RuncOptions
from bridge.model.events import Failure, TaskExit
from bridge.model.nanos import Nanos
from bridge.model.outcomes import Created, ImageInfo, ImageList, ImageRemoved, Judged, Outcome, Pulled, Ran
from bridge.model.subjects import CommandSubject
from bridge.ports import LogExtent
from tests.unit.cli.conftest import Cli
from tests.unit.cli.recorded import stored
from tests.unit.client.small_bus import SmallReader, SmallSender

BUSYBOX = "docker.io/library/busybox:latest"


def answer(at: CommandSubject, options: dict[str, Any]) -> Any:
    container = at.container or ""
    image = ImageInfo(
        name=options.get("image", BUSYBOX), digest=f"sha256:{'a' * 64}", size=2_097_152, created_at=Nanos(0)
    )
    answers: dict[str, Any] = {
        "run": Ran(container=container, pid=7),
        "create": Created(container=container),
        "images": ImageList(images=[image]),
        "pull": Pulled(image=image),
        "rmi": ImageRemoved(image=image.name),
    }
    return answers[at.verb]


def sent(cli: Cli, *arguments: str) -> tuple[CommandSubject, dict[str, Any]]:
    sender = SmallSender(answer)
    said = cli(*arguments, sender=sender)
    assert said.status == 0, said.err
    (asked,) = sender.asked
    options = dict(asked.options)
    options.pop("id", None)
    return asked.subject, options


def test_an_image_alone_is_run_under_a_new_id(cli: Cli) -> None:
    sender = SmallSender(answer)
    said = cli("run", "-d", "busybox", sender=sender)
    subject = sender.asked[0].subject
    assert (subject.node, subject.namespace, subject.verb) == ("n1", "default", "run")
    assert said == (0, f"{subject.container}\n", "")
    assert len(subject.container or "") == 64
    assert sender.asked[0].by_default["id"]


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        (["busybox", "sh", "-c", "exit 3"], {"command": ["sh", "-c", "exit 3"]}),
        (["busybox", "ls", "--all", "-e", "x"], {"command": ["ls", "--all", "-e", "x"]}),
        (["-e", "A=b=c", "--env", "GIVEN", "--env", "UNSET", "busybox"], {"env": ["A=b=c", "GIVEN=here", "UNSET"]}),
        (["-v", "/a:/b", "busybox"], {"mounts": [{"source": "/a", "target": "/b", "type": "bind", "options": []}]}),
        (
            ["-v", "/a:/b:ro,rbind", "busybox"],
            {"mounts": [{"source": "/a", "target": "/b", "type": "bind", "options": ["ro", "rbind"]}]},
        ),
        (
            ["--mount", "type=bind,src=/a,dst=/b,readonly", "busybox"],
            {"mounts": [{"source": "/a", "target": "/b", "type": "bind", "options": ["ro"]}]},
        ),
        (
            ["--mount", "type=bind,src=/a,dst=/b,options=rbind:ro", "--tmpfs", "/t", "busybox"],
            {
                "mounts": [
                    {"source": "/a", "target": "/b", "type": "bind", "options": ["rbind", "ro"]},
                    {"source": "", "target": "/t", "type": "tmpfs", "options": []},
                ]
            },
        ),
        (["-w", "/tmp", "-u", "ann:staff", "-t", "busybox"], {"cwd": "/tmp", "user": "ann:staff", "tty": True}),
        (["--name", "shop", "-l", "a=b", "-l", "c", "busybox"], {"name": "shop", "labels": {"a": "b", "c": ""}}),
        (["--hostname", "h", "--network", "ns:/run/x", "busybox"], {"hostname": "h", "network": "ns:/run/x"}),
        (["-m", "64m", "--cpus", "0.5", "--pids-limit", "9", "busybox"], {"memory": 67108864, "cpus": 0.5, "pids_limit": 9}),
        (["--memory", "1.5GiB", "busybox"], {"memory": 1610612736}),
        (["--memory", "1p", "busybox"], {"memory": 1 << 50}),
        (["--rm", "busybox"], {"rm": True}),
        (["--privileged", "--read-only", "busybox"], {"privileged": True, "read_only": True}),
        (["--cap-add", "ALL", "--cap-drop", "KILL", "busybox"], {"cap_add": ["ALL"], "cap_drop": ["KILL"]}),
        (["--entrypoint", "/x", "busybox", "y"], {"entrypoint": ["/x"], "command": ["y"]}),
        (["--log-uri", "file:///x", "busybox"], {"stdio": "file:///x"}),
        (["--stdio", "binary:///x", "busybox"], {"stdio": "binary:///x"}),
        (["--runtime", "io.containerd.runc.v2", "--snapshotter", "native", "busybox"],
         {"runtime": "io.containerd.runc.v2", "snapshotter": "native"}),
        (["--annotation", "a=b", "busybox"], {"annotations": {"a": "b"}}),
    ],
)  # fmt: skip
def test_options_are_sent_as_they_are_called_on_the_bus(
    cli: Cli, arguments: list[str], options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIVEN", "here")
    _, found = sent(cli, "run", "-d", *arguments)
    assert found == {"image": BUSYBOX, "stdio": "bus", **options}


RUNC = {
    "binary_name": ["--runc-binary", "/x/runc"],
    "root": ["--runc-root", "/r"],
    "systemd_cgroup": ["--runc-systemd-cgroup"],
    "no_pivot_root": ["--runc-no-pivot"],
    "no_new_keyring": ["--runc-no-new-keyring"],
    "shim_cgroup": ["--runc-shim-cgroup", "/c"],
    "io_uid": ["--runc-io-uid", "7"],
    "io_gid": ["--runc-io-gid", "8"],
}


def test_runc_can_be_told_everything(cli: Cli) -> None:
    assert set(RUNC) == set(structs.asdict(RuncOptions()))
    _, found = sent(cli, "create", *chain.from_iterable(RUNC.values()), "busybox")
    told = {name: True if len(words) == 1 else words[1] for name, words in RUNC.items()}
    assert found["runc"] == {**told, "io_uid": 7, "io_gid": 8}


def test_a_whole_spec_comes_from_a_file(cli: Cli, tmp_path: Path) -> None:
    file = tmp_path / "config.json"
    file.write_text('{"ociVersion": "1.0.2"}')
    _, found = sent(cli, "create", "--id", "web.1", "--spec", str(file))
    assert found == {"spec": {"ociVersion": "1.0.2"}, "stdio": "bus"}


@pytest.mark.parametrize(
    ("written", "image"),
    [
        ("nginx", "docker.io/library/nginx:latest"),
        ("nginx:1.27", "docker.io/library/nginx:1.27"),
        ("me/nginx", "docker.io/me/nginx:latest"),
        ("localhost/x", "localhost/x:latest"),
        ("registry.example:5000/x", "registry.example:5000/x:latest"),
        ("ghcr.io/a/b@sha256:0", "ghcr.io/a/b@sha256:0"),
    ],
)
def test_images_are_called_by_their_whole_names(cli: Cli, written: str, image: str) -> None:
    assert sent(cli, "create", written)[1] == {"image": image, "stdio": "bus"}
    assert sent(cli, "rmi", written)[1] == {"image": image}
    assert sent(cli, "pull", written)[1] == {"image": image}


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "name an image"),
        (["-v", "a:/b", "busybox"], "'a:/b' is no volume"),
        (["-v", "/a", "busybox"], "'/a' is no volume"),
        (["--mount", "type=bind,nope=1", "busybox"], "'nope=1' is no part of a mount"),
        (["--mount", "type=volume,target=/x", "busybox"], "is not valid"),
        (["-m", "much", "busybox"], "'much' is no size"),
        (["-m", "1k", "busybox"], "memory"),
        (["-m", "-1", "busybox"], "a new container has no limit unless it is given one"),
        (["--network", "foo", "busybox"], "network has to be none, host, or ns:/PATH of a network namespace"),
        (["--mount", "type=bind,source=/x,target=y", "busybox"], "target has to be an absolute path"),
        (["--network", "bridge", "busybox"], "network"),
        (["--cpus", "0", "busybox"], "cpus"),
        (["--id", "a/b", "busybox"], "container id 'a/b' is not valid"),
        (["--log-uri", "http://x", "busybox"], "stdio"),
        (["--runc-io-uid", "-1", "busybox"], "io_uid"),
        (["--hostname", "a b", "busybox"], "hostname"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(cli: Cli, arguments: list[str], sentence: str) -> None:
    sender = SmallSender(answer)
    said = cli("run", "-d", *arguments, sender=sender)
    assert (said.status, sentence in said.err, sender.asked) == (2, True, []), said.err


class Later(SmallReader):
    """A log whose events come after a command was sent."""

    async def extent(self) -> LogExtent:
        return structs.replace(await super().extent(), last_sequence=4)


def exit_event(status: int | None) -> SmallReader:
    exited = TaskExit(container_id="web.1", id="web.1", pid=7, exit_status=status)
    return Later([stored(exited, "web.1", number=5)])


@pytest.mark.parametrize("status", [0, 3, 137])
def test_a_run_whose_output_is_elsewhere_ends_with_the_status_that_the_log_tells(cli: Cli, status: int) -> None:
    reader = exit_event(status)
    said = cli("run", "--id", "web.1", "--log-uri", "null", "busybox", answer=answer, reader=reader)
    assert said == (status, "web.1\n", "")


def test_an_end_that_nobody_saw_is_told(cli: Cli) -> None:
    reader = exit_event(None)
    said = cli("run", "--id", "web.1", "--log-uri", "null", "busybox", answer=answer, reader=reader)
    assert (said.status, said.err) == (125, "containerd-bridge: container web.1 has ended, and nobody saw how\n")


@pytest.mark.parametrize(
    ("words", "status"),
    [
        ('exec: "x": executable file not found in $PATH', 127),
        ("exec /x: permission denied", 126),
        ("container x exists already", 125),
    ],
)
def test_what_cannot_be_run_ends_as_with_docker(cli: Cli, words: str, status: int) -> None:
    def failing(at: CommandSubject, _: dict[str, Any]) -> Outcome:
        error = Failure(code="unknown", message=words)
        return Outcome(id="1", verb=at.verb, node=at.node, outcome="error", error=error)

    said = cli("run", "-d", "busybox", answer=failing)
    assert said == (status, "", f"containerd-bridge: {words}\n")


def test_images_are_a_table(cli: Cli) -> None:
    header, row = cli("images", answer=answer).lines
    assert header.split() == ["IMAGE", "DIGEST", "SIZE", "CREATED"]
    assert row.split()[:4] == [BUSYBOX, "sha256:aaaaaaaaaaaa", "2.0", "MiB"]
    assert cli("images", "-q", answer=answer).lines == [BUSYBOX]
    assert cli("images", "--json", answer=answer).objects[0]["size"] == 2_097_152


def test_a_password_is_taken_from_the_environment(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGISTRY_PASSWORD", "secret")
    options = sent(cli, "pull", "--user", "ann", "--plain-http", "--stall", "9", "registry.example/x:1")[1]
    assert options == {
        "image": "registry.example/x:1",
        "username": "ann",
        "password": "secret",
        "plain_http": True,
        "stall": 9,
    }


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["create", "--command-id", "c-1", "--id", "web.1", "busybox"], "web.1"),
        (["run", "-d", "--command-id", "c-1", "--id", "web.1", "busybox"], "web.1"),
        (["pull", "--id", "c-1", "busybox"], BUSYBOX),
        (["rmi", "--command-id", "c-1", "busybox"], BUSYBOX),
    ],
)
def test_what_makes_something_is_sent_as_other_commands_are(cli: Cli, arguments: list[str], name: str) -> None:
    sender = SmallSender(answer)
    when = "2030-01-01T00:00:00.000000000Z"
    said = cli(
        *arguments[:1], "--not-after", when, "--timeout", "7", "--reason", "a test", *arguments[1:], sender=sender
    )
    assert said == (0, f"{name}\n", "")
    (asked,) = sender.asked
    assert (asked.by_default, asked.timeout) == ({"id": "c-1", "not_after": when}, 7)
    assert asked.options["purpose"] == "a test"


@pytest.mark.parametrize("arguments", [["create"], ["run"], ["pull"], ["rmi"], ["import"]], ids=lambda one: one[0])
def test_what_makes_something_is_judged_alone(cli: Cli, arguments: list[str]) -> None:
    judged = Judged(rule="default", reason="default allows it")
    sender = SmallSender(lambda *_: judged)
    said = cli(*arguments, "--dry-run", "busybox", sender=sender)
    assert (said.status, said.lines[0].endswith(": default allows it")) == (0, True)
    assert sender.asked[0].options["dry_run"]
    said = cli(*arguments, "--dry-run", "--json", "busybox", answer=lambda *_: judged)
    assert said.objects == [{"rule": "default", "reason": "default allows it"}]


def test_one_id_for_several_images_is_another_one_for_each(cli: Cli) -> None:
    sender = SmallSender(answer)
    assert cli("rmi", "--id", "c-1", "one", "two", sender=sender).status == 0
    first, second = (asked.by_default["id"] for asked in sender.asked)
    assert first != second
    assert all(name.startswith("c-1-") for name in (first, second))


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["run", "--json", "busybox"], "--json is for what -d prints"),
        (["run", "-d", "--wait", "busybox"], "--wait is for jobs"),
        (["pull", "--user", "ann", "--durable", "busybox"], "the password would stand in the stream of jobs"),
        (["rmi", "--durable", "--dry-run", "busybox"], "leave --durable out"),
        (["import", "--durable", "x.tar"], "no such option"),
        (["create", "--if-status", "running", "busybox"], "no such option"),
        (["start", "-a", "one", "two"], "only one container can be attached to"),
    ],
)
def test_what_does_not_go_together_is_wrong_usage(cli: Cli, arguments: list[str], sentence: str) -> None:
    sender = SmallSender(answer)
    said = cli(*arguments, sender=sender)
    assert (said.status, sentence in said.err.lower(), sender.asked) == (2, True, []), said.err


def test_an_archive_that_is_not_there_is_told(cli: Cli, tmp_path: Path) -> None:
    said = cli("import", str(tmp_path / "none.tar"), answer=answer)
    assert (said.status, "cannot be read" in said.err) == (2, True)
