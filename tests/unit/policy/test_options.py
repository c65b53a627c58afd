"""What stands beside a spec and leads to the host all the same: log programs and files, labels of others, hosts directories."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bridge.model.commands import Create, Pull, Run, Stop
from bridge.policy import Ask, Permissions, asks_of_labels, asks_of_options, asks_of_output

RESTARTED = {"containerd.io/restart.status": "running", "containerd.io/restart.loguri": "binary:///bin/sh"}


def only(asks: tuple[Ask, ...]) -> Ask:
    [ask] = asks
    return ask


@pytest.mark.parametrize(
    ("uri", "kind", "value"),
    [
        ("binary:///usr/bin/logger", "log_programs", "/usr/bin/logger"),
        ("binary:///bin/sh?-c=id%20%3E/pwned", "log_programs", "/bin/sh"),
        ("binary:////bin//sh#x", "log_programs", "/bin/sh"),
        ("binary:///bin/%73h", "log_programs", "/bin/sh"),
        ("file:///var/log/web?x", "log_files", "/var/log/web"),
        ("file:///etc/cron%2ed/x", "log_files", "/etc/cron.d/x"),
    ],
)
def test_output_asks_for_the_path_that_the_shim_reads(uri: str, kind: str, value: str) -> None:
    ask = only(asks_of_output(uri))
    assert (ask.kind, ask.value, ask.grantable) == (kind, value, True)
    assert not Permissions(privileged=True).allows(ask)


@pytest.mark.parametrize(
    "uri",
    [
        *("file:///srv/../etc/x", "file:///srv/%2e%2e/etc/x", "file:///srv/%00", "file:///srv/%ff", "file:///a%0ab"),
        *("binary://host/bin/sh", "Binary:///bin/sh", "fifo:///x", "/etc/passwd", "file:/x", "../x", " "),
    ],
)
def test_what_is_not_clear_no_rule_allows(uri: str) -> None:
    ask = only(asks_of_output(uri))
    assert not ask.grantable
    assert not Permissions(log_files=["/"], log_programs=["/bin/sh", "/x"]).allows(ask)


@pytest.mark.parametrize("uri", ["", "null", "bus"])
def test_output_to_nowhere_asks_nothing(uri: str) -> None:
    assert asks_of_output(uri) == ()


@given(st.text(max_size=40).map(lambda text: text) | st.text(max_size=40).map(lambda text: f"file:///{text}"))
def test_any_uri_has_an_answer(uri: str) -> None:
    for ask in asks_of_output(uri):
        assert not ask.grantable or (ask.value.startswith("/") and ".." not in ask.value.split("/"))


def test_a_program_is_allowed_by_its_own_name_alone() -> None:
    ask = only(asks_of_output("binary:///usr/bin/logger?-t=web"))
    links = {"/usr/bin/logger": "/bin/busybox", "/bin/sh": "/bin/busybox"}
    for programs, allowed in ((["/usr/bin/logger"], True), (["/usr/bin"], False), (["/bin/sh"], False), (["/"], False)):
        assert Permissions(log_programs=programs).allows(ask, lambda path: links.get(path, path)) is allowed


@pytest.mark.parametrize(
    ("granted", "path", "allowed"),
    [
        ("/var/log/web", "/var/log/web/out.log", True),
        ("/var/log/web", "/var/log/webs", False),
        ("/", "/srv/out.log", True),
        ("/", "/etc/cron.d/x", False),
        ("/etc/cron.d", "/etc/cron.d/x", False),
        ("/etc/own.log", "/etc/own.log", True),
        ("/var/log", "/var/log/link/x", False),  # it leads to /etc
        ("/var/lib", "/var/lib/containerd/x", False),
    ],
)
def test_a_log_file_is_allowed_as_a_writable_mount_is(granted: str, path: str, allowed: bool) -> None:
    ask = only(asks_of_output(f"file://{path}"))
    resolve = lambda path: path.replace("/var/log/link", "/etc")  # noqa: E731
    assert Permissions(log_files=[granted]).allows(ask, resolve) is allowed


def test_labels_on_which_others_act_are_asked_for_by_their_keys() -> None:
    labels = {**RESTARTED, "tier": "web", "nerdctl/state-dir": "/x", "com.docker/engine.bundle.path": "/x"}
    labels |= {"io.cri-containerd.kind": "container", "io.containerd.image.config.stop-signal": "SIGINT"}
    asks = asks_of_labels(labels)
    assert {ask.value for ask in asks} == set(labels) - {"tier", "io.containerd.image.config.stop-signal"}
    granted = Permissions(labels=["containerd.io/restart.*"])
    assert {ask.value for ask in asks if granted.allows(ask)} == set(RESTARTED)
    assert "binary" not in " ".join(map(str, asks))  # values may be secrets


@pytest.mark.parametrize("kind", [Create, Run])
def test_options_of_a_new_container_are_asked_for(kind: type[Create]) -> None:
    command = kind(image="i", labels=RESTARTED, stdio="file:///x", name="shop")
    assert [ask.kind for ask in asks_of_options(command)] == ["labels", "labels", "log_files"]
    assert asks_of_options(kind(image="i", labels={"tier": "web"}, name="shop")) == ()


def test_a_pull_asks_for_its_labels_and_for_where_registries_are_described() -> None:
    asks = asks_of_options(Pull(image="i", labels=RESTARTED, hosts_dir="/srv/certs.d/../x"))
    assert [(ask.kind, ask.grantable) for ask in asks] == [("labels", True), ("labels", True), ("hosts_dirs", False)]
    ask = only(asks_of_options(Pull(image="i", hosts_dir="/etc/containerd/certs.d")))
    assert Permissions(hosts_dirs=["/etc/containerd"]).allows(ask)
    assert not Permissions(hosts_dirs=["/etc/containerd"]).allows(
        ask, lambda path: path.replace("/etc/containerd/certs.d", "/x")
    )
    assert asks_of_options(Pull(image="i")) == asks_of_options(Stop()) == asks_of_options(None) == ()
