"""What would fail when a checkpoint is restored on a host, said before it is tried. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from msgspec import Struct

from bridge.checkpoints.cpu import missed
from bridge.checkpoints.finding import (
    HOST_NETWORK,
    CriuSays,
    blocks,
    devices_of,
    fine,
    found_criu,
    found_space,
    mapping,
    namespaces_of,
    network_of,
    numbers,
    plain,
    risk,
    some,
    unknown,
)
from bridge.checkpoints.listening import found_ports
from bridge.model.checkpoints import CheckpointOptions, CheckpointRecord, Finding, HostFacts, Listening, Verdict

__all__ = ["ToRestore", "before_restore"]


class ToRestore(Struct, frozen=True, kw_only=True):
    """What is known of a checkpoint and of the host that it would go on at. Null, or empty, is what is not known from here.

    Attributes:
        host: the facts of that host, and `criu` what CRIU says of it.
        record: the checkpoint's; null where it comes without one.
        options: as it would be restored.
        spec: of the container as it would be made.
        image_here: whether the image is there, and `image_digest` which one is there under its name.
        image_as: under which other name the right one is there.
        image_follows: whether it is brought along where it is not there.
        id_free: whether no other container has the id.
        missing: which of `host_paths` are not there: sources of mounts, namespaces, devices.
        taken: where anybody listens in the network that it would be in.
        runtime_here: whether the container's runtime is there, `snapshotter_here` its snapshotter.
        original_runs: whether the container that was dumped runs, with the address that it had.
        space: bytes that are free where the archive is unpacked.
    """

    host: HostFacts
    criu: CriuSays
    record: CheckpointRecord | None = None
    options: CheckpointOptions = CheckpointOptions()
    spec: Mapping[str, Any] | None = None
    image_here: bool | None = None
    image_digest: str = ""
    image_as: str = ""
    image_follows: bool = False
    id_free: bool | None = None
    missing: Sequence[str] | None = None
    taken: Sequence[Listening] | None = None
    runtime_here: bool | None = None
    snapshotter_here: bool | None = None
    original_runs: bool | None = None
    space: int | None = None

    @property
    def then(self) -> HostFacts:
        """The host that it was dumped on."""
        return HostFacts() if self.record is None else self.record.host


def before_restore(facts: ToRestore) -> Verdict:
    """Say what a restore would come to, one finding for each thing that was looked at."""
    needed = None if facts.record is None else facts.record.archive.unpacked
    return Verdict(
        findings=[
            found_criu(facts.host, facts.criu),
            _criu_version(facts),
            _arch(facts),
            _cpu(facts),
            _kernel(facts),
            _cgroup(facts),
            _runtime(facts),
            _snapshotter(facts),
            _image(facts),
            _id(facts),
            _network(facts),
            found_ports(facts.spec, None if facts.record is None else facts.record.listens, facts.taken),
            _mounts(facts),
            _devices(facts),
            _tcp(facts),
            _lsm(facts),
            found_space("its files", needed, facts.space),
        ]
    )


def _criu_version(facts: ToRestore) -> Finding:
    then, here = plain(facts.then.criu), plain(facts.criu.version or facts.host.criu)
    if not then or not here:
        return unknown(
            "criu-version", "which CRIU dumped it, or which is here, is not known", "compare `criu --version`"
        )
    says = f"it was dumped by CRIU {then}, and here is {here}"
    if numbers(here)[:2] < numbers(then)[:2]:
        # It reads dumps of earlier ones, and of no later ones: 4.1 fails on the vDSO of those that 4.2 has made.
        return blocks("criu-version", says, f"install CRIU {then} or later")
    return fine("criu-version", says)


def _arch(facts: ToRestore) -> Finding:
    then, here = plain(facts.then.arch), plain(facts.host.arch)
    if not then or not here:
        return unknown("arch", "for which processors it was dumped, or these are, is not known", "compare `uname -m`")
    if then != here:
        return blocks("arch", f"it was dumped on {then}, and this is {here}", "take a node of the same architecture")
    return fine("arch", f"both hosts are {here}")


def _cpu(facts: ToRestore) -> Finding:
    if not facts.then.cpu_flags or not facts.host.cpu_flags or not facts.host.arch:
        return unknown("cpu", "what one of the processors can do is not known", "compare /proc/cpuinfo of both hosts")
    if lacking := missed(facts.host.arch, facts.then.cpu_flags, facts.host.cpu_flags):
        says = f"its programs may use what this processor has not, and die of it: {some(lacking)}"
        return blocks("cpu", says, "take a node whose processor has that")
    return fine("cpu", "this processor has all that its programs may use")


def _kernel(facts: ToRestore) -> Finding:
    then, here = plain(facts.then.kernel), plain(facts.host.kernel)
    if not numbers(then) or not numbers(here):
        return unknown("kernel", "which kernel it was dumped on, or this is, is not known", "compare `uname -r`")
    if numbers(here)[:2] < numbers(then)[:2]:
        says = f"it was dumped on Linux {then}, and this is {here}, which may lack what it uses"
        return risk("kernel", says, "take a node whose kernel is as new")
    return fine("kernel", f"it was dumped on Linux {then}, and this is {here}")


def _cgroup(facts: ToRestore) -> Finding:
    if facts.options.cgroups_mode == "strict":
        return blocks("cgroup", "with --cgroups-mode strict nothing is ever restored", "take another mode")
    then, here = facts.then.cgroup, facts.host.cgroup
    if not then or not here:
        return unknown("cgroup", "which version of control groups one of the hosts has is not known", "compare them")
    if then == here:
        return fine("cgroup", f"both hosts have control groups {here}")
    says = f"it was dumped with control groups {then}, and here are {here}"
    if facts.options.cgroups_mode == "ignore":
        return risk("cgroup", f"{says}, which CRIU is told to ignore", "take a node with the same")
    return blocks("cgroup", says, "take a node with the same, or dump it with --cgroups-mode ignore")


def _runtime(facts: ToRestore) -> Finding:
    then, here = plain(facts.then.runtime), plain(facts.host.runtime)
    name = plain(facts.record.runtime) if facts.record is not None else ""
    called = f": {name}" if name else ""
    if facts.runtime_here is False:
        return blocks("runtime", f"its runtime is not here{called}", "install it, or take another node")
    if then and here and then != here:
        says = f"it was dumped by {then}, and here is {here}; each restores only its own"
        return blocks("runtime", says, f"take a node with {then}")
    if facts.runtime_here is None:
        return unknown("runtime", f"whether its runtime is here is not known{called}", "look for its shim on the host")
    return fine("runtime", f"its runtime is here{called}")


def _snapshotter(facts: ToRestore) -> Finding:
    name = plain(facts.record.snapshotter) if facts.record is not None else ""
    called = f": {name}" if name else ""
    if facts.snapshotter_here is None:
        return unknown(
            "snapshotter", f"whether its snapshotter is here is not known{called}", "look at `ctr plugins ls`"
        )
    if not facts.snapshotter_here:
        return blocks(
            "snapshotter", f"its snapshotter is not here{called}", "let containerd have it, or take another node"
        )
    return fine("snapshotter", f"its snapshotter is here{called}")


def _image(facts: ToRestore) -> Finding:
    name = plain(facts.record.image) if facts.record is not None else ""
    called = f": {name}" if name else ""
    if facts.image_here is None:
        return unknown("image", f"whether its image is here is not known{called}", "look at the node's images")
    if not facts.image_here:
        if facts.image_follows:
            return fine("image", f"its image is brought along{called}")
        return blocks("image", f"its image is not here{called}", "pull or import it first")
    then = facts.record.image_digest if facts.record is not None else ""
    if not then or not facts.image_digest:
        return unknown(
            "image", f"whether the image here is the one it was made from is not known{called}", "compare digests"
        )
    return fine("image", f"its image is here{called}") if then == facts.image_digest else _moved(facts, then, called)


def _moved(facts: ToRestore, then: str, called: str) -> Finding:
    says = f"the image here is another one than that it was made from{called}"
    if facts.image_as:
        says += f"; that one is here as {plain(facts.image_as)}, and is taken"
    elif facts.image_follows:
        says += "; that one is brought along, under its digest"
    else:
        return blocks("image", says, f"pull or import {plain(then)}, under whatever name")
    return fine("image", says)


def _id(facts: ToRestore) -> Finding:
    if facts.id_free is None:
        return unknown("id", "whether the id is free is not known", "look at the node's containers")
    if not facts.id_free:
        return blocks("id", "there is a container of this id", "delete it, or restore under another id with --as")
    return fine("id", "the id is free")


def _network(facts: ToRestore) -> Finding:
    where = network_of(facts.spec)
    if where == "unknown":
        return unknown("network", "in which network it would be is not known", "look at the checkpoint's spec")
    if where == "host":
        return blocks("network", HOST_NETWORK, "dump it from a network of its own")
    joined = namespaces_of(facts.spec)
    if facts.missing is None and joined:
        return unknown(
            "network", f"whether what it is to join is here is not known: {some(joined)}", "look on the host"
        )
    if gone := [path for path in joined if path in (facts.missing or ())]:
        return blocks("network", f"a namespace that it is to join is not here: {some(gone)}", "make it first")
    return fine(
        "network", "it gets a network of its own" if where == "own" else "the network that it is to join is here"
    )


def _mounts(facts: ToRestore) -> Finding:
    if facts.spec is None or facts.missing is None:
        return unknown(
            "mounts", "whether all that is mounted into it is here is not known", "look at the checkpoint's spec"
        )
    others = {*namespaces_of(facts.spec), *devices_of(facts.spec)}
    if gone := [path for path in facts.missing if path not in others]:
        return blocks("mounts", f"what is mounted into it is not here: {some(gone)}", "make it, or take another node")
    return fine("mounts", "all that is mounted into it is here")


def _devices(facts: ToRestore) -> Finding:
    given = devices_of(facts.spec)
    if facts.spec is not None and not given:
        return fine("devices", "it is given no devices")
    if facts.spec is None or facts.missing is None:
        called = f": {some(list(given.values()))}" if given else ""
        return unknown("devices", f"whether its devices are here is not known{called}", "look in /dev on the host")
    if gone := [path for place, path in given.items() if place in facts.missing]:
        says = f"devices that it is given are not here, and what has one open is not restored: {some(gone)}"
        return risk("devices", says, "load their drivers, or take another node")
    return fine("devices", "its devices are here")


def _tcp(facts: ToRestore) -> Finding:
    if facts.options.tcp_close:
        return fine("tcp", "TCP connections in it are closed")
    if facts.record is None:
        return unknown("tcp", "whether there are TCP connections in it is not known", "use --tcp-close to be sure")
    if not facts.record.options.tcp_established:
        return fine("tcp", "there are no TCP connections in it")
    if facts.original_runs:
        return blocks("tcp", "its TCP connections are held by the original, which runs", "use --tcp-close, or end that")
    if facts.original_runs is None:
        return unknown("tcp", "whether the original still holds its TCP connections is not known", "use --tcp-close")
    says = "its TCP connections need the address that it had, and peers that still wait"
    if network_of(facts.spec) == "own":
        says = "its TCP connections cannot be restored, because its network is made anew"
    return risk("tcp", says, "use --tcp-close")


def _lsm(facts: ToRestore) -> Finding:
    if facts.spec is None:
        return unknown("lsm", "which security module it needs is not known", "look at the checkpoint's spec")
    process = mapping(facts.spec, "process")
    asks = [name for name, key in (("apparmor", "apparmorProfile"), ("selinux", "selinuxLabel")) if process.get(key)]
    if not asks:
        return fine("lsm", "it needs no security module")
    if not facts.host.lsm:
        return unknown("lsm", f"whether this host has {some(asks)} is not known", "look at /sys/kernel/security/lsm")
    if gone := [name for name in asks if name not in facts.host.lsm]:
        return blocks("lsm", f"it is labelled for {some(gone)}, which this host has not", "take a node that has it")
    return fine("lsm", f"this host has {some(asks)}")
