"""How CRIU is told what to do."""

from bridge.containerd.checkpoint_options import criu_config, read_options, wire_options
from bridge.model.checkpoints import CheckpointOptions


def lines(options: CheckpointOptions) -> list[str]:
    return [line for line in criu_config(options).splitlines() if not line.startswith("#")]


def test_a_configuration_file_says_what_containerd_cannot() -> None:
    assert lines(CheckpointOptions()) == ["file-locks"]
    assert lines(CheckpointOptions(file_locks=False)) == []
    every = CheckpointOptions(
        tcp_established=True,
        tcp_skip_in_flight=True,
        ext_unix=True,
        terminal=True,
        link_remap=True,
        cgroups_mode="ignore",
    )
    assert lines(every) == [
        "tcp-established",
        "skip-in-flight",
        "file-locks",
        "ext-unix-sk",
        "shell-job",
        "link-remap",
        "manage-cgroups=ignore",
    ]


def test_a_connection_that_is_to_be_closed_is_not_restored() -> None:
    assert lines(CheckpointOptions(tcp_established=True, tcp_close=True)) == ["tcp-close", "file-locks"]


def test_what_containerd_is_told_is_read_back() -> None:
    options = CheckpointOptions(
        tcp_established=True, ext_unix=True, terminal=True, file_locks=False, empty_ns=["network"], cgroups_mode="soft"
    )
    wire = wire_options(options, ends=True)
    assert wire.exit
    assert read_options(wire) == options
    wire.empty_namespaces.append("uts")
    wire.cgroups_mode = "nonsense"
    assert (read_options(wire).empty_ns, read_options(wire).cgroups_mode) == (["network"], "")
