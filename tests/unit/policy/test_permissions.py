"""What a rule lets a spec ask, and that paths mean what they lead to."""

from __future__ import annotations

from typing import Any, get_args

import pytest
from msgspec import structs

from bridge.policy import Ask, HostMount, Permissions
from bridge.policy.asks import AskKind
from bridge.policy.permissions import GUARDED

KINDS: tuple[AskKind, ...] = get_args(AskKind)


def ask(kind: AskKind, value: str = "", **more: Any) -> Ask:
    return Ask(kind=kind, value=value, text="x", **more)


def test_every_kind_of_ask_has_its_permission_and_the_other_way_round() -> None:
    permissions = set(Permissions.__struct_fields__) - {"privileged", "existing"}
    assert set(KINDS) - {"moved"} == permissions  # nothing allows that


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_allowed_unless_it_is_given(kind: AskKind) -> None:
    assert not Permissions().allows(ask(kind, "x"))


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_unclear_is_allowed_by_nothing(kind: AskKind) -> None:
    everything = {
        field.name: True if field.type is bool else ["*"]
        for field in structs.fields(Permissions)
        if field.name != "host_mounts"
    }
    mounts = [HostMount(source="/", write=True)]
    permissions = Permissions(**everything, host_mounts=mounts)  # type: ignore[arg-type]
    assert not permissions.allows(ask(kind, "/x", grantable=False))


@pytest.mark.parametrize(
    ("source", "path", "allowed"),
    [
        ("/srv", "/srv", True),
        ("/srv", "/srv/www", True),
        ("/srv/", "/srv/www", True),
        ("/srv", "/srv-other", False),
        ("/srv/www", "/srv", False),
        ("/", "/home/x", True),
        ("/", "/etc/shadow", False),
        ("/", "/", True),
        ("/run", "/run/containerd/containerd.sock", False),
        ("/run/containerd/containerd.sock", "/run/containerd/containerd.sock", True),
        ("/run", "/run", True),
        ("/", "/run", False),
        ("/", "/var/lib", False),
        ("/etc/ssl", "/etc/ssl", True),
        ("/etc/ssl", "/etc/ssl/certs", False),
    ],
)
def test_a_path_is_allowed_with_what_is_below_it_unless_that_is_the_host_itself(
    source: str, path: str, *, allowed: bool
) -> None:
    assert Permissions(host_mounts=[HostMount(source=source)]).allows(ask("host_mounts", path)) is allowed


@pytest.mark.parametrize("guarded", GUARDED)
def test_a_permission_for_everything_does_not_mean_what_makes_root_on_the_host(guarded: str) -> None:
    everything = Permissions(privileged=True, host_mounts=[HostMount(source="/", write=True)])
    assert not everything.allows(ask("host_mounts", guarded, write=True))


def test_writing_has_to_be_allowed() -> None:
    assert not Permissions(host_mounts=[HostMount(source="/srv")]).allows(ask("host_mounts", "/srv", write=True))
    assert Permissions(host_mounts=[HostMount(source="/srv", write=True)]).allows(
        ask("host_mounts", "/srv", write=True)
    )


def test_a_link_that_leads_out_of_what_is_allowed_is_seen() -> None:
    allowed = Permissions(host_mounts=[HostMount(source="/srv")], namespace_paths=["/run/netns"])
    leads = {"/srv/link": "/etc", "/run/netns/x": "/proc/1/ns/net"}
    assert allowed.allows(ask("host_mounts", "/srv/link"))
    assert not allowed.allows(ask("host_mounts", "/srv/link"), lambda path: leads.get(path, path))
    assert not allowed.allows(ask("namespace_paths", "/run/netns/x"), lambda path: leads.get(path, path))


@pytest.mark.parametrize(
    ("given", "device", "allowed"),
    [
        ("c 10:229", "c 10:229", True),
        ("c 10:*", "c 10:229", True),
        ("*", "* *:*", True),
        ("* 10:229", "c 10:229", True),
        ("c 10:229", "c 10:230", False),
        ("b 10:229", "c 10:229", False),
        ("c 10:229", "c 10:*", False),
        ("c 10:229", "* *:*", False),
    ],
)
def test_a_device_is_its_type_and_its_numbers(given: str, device: str, *, allowed: bool) -> None:
    assert Permissions(devices=[given]).allows(ask("devices", device)) is allowed


def test_privileged_is_about_the_container_and_not_about_the_hosts_files() -> None:
    privileged = Permissions(privileged=True)
    assert privileged.allows(ask("capabilities", "CAP_SYS_ADMIN"))
    assert privileged.allows(ask("devices", "* *:*"))
    others: tuple[AskKind, ...] = ("host_mounts", "host_namespaces", "hooks", "runtimes", "fields", "namespace_paths")
    for kind in others:
        assert not privileged.allows(ask(kind, "/x"))


def test_the_other_lists_are_patterns() -> None:
    assert Permissions(sysctls=["net.ipv4.*"]).allows(ask("sysctls", "net.ipv4.ip_forward"))
    assert not Permissions(sysctls=["net.ipv4.*"]).allows(ask("sysctls", "kernel.core_pattern"))
    assert Permissions(capabilities=["ALL"]).allows(ask("capabilities", "CAP_X"))
    assert Permissions(host_namespaces=["net"]).allows(ask("host_namespaces", "net"))
    assert not Permissions(host_namespaces=["net"]).allows(ask("host_namespaces", "pid"))
