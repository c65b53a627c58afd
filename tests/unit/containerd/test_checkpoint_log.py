"""What is told of CRIU's logs."""

import pytest

from bridge.containerd.checkpoint_log import MOST, log_end, unstoppable, verdict

LOG = """\
(00.000073) Version: 4.1.1 (gitid 0)
(00.000740) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted
(00.000746) Running pre-dump scripts
(00.010902) Warn  (compel/arch/x86/src/lib/infect.c:418): Will restore 1371 with interrupted system call
(00.493067)      1: Error (criu/files-reg.c:2353): Can't open file \x1b[31mfile\r on restore: No such file or directory
(00.063064) pie: 18: Error (criu/pie/util-vdso.c:117): vdso: ELF header magic mismatch
(00.079186) Error (criu/cr-dump.c:2111): Dumping FAILED.
"""


def test_the_errors_are_told_without_stamps_and_control_characters() -> None:
    assert log_end(LOG) == (
        "Error (criu/files-reg.c:2353): Can't open file [31mfile on restore: No such file or directory; "
        "Error (criu/pie/util-vdso.c:117): vdso: ELF header magic mismatch; "
        "Error (criu/cr-dump.c:2111): Dumping FAILED."
    )


def test_of_a_log_without_errors_the_last_lines_are_told() -> None:
    assert log_end("(00.000073) Version: 4.1.1\n(00.1) Unseizing 7 into 1\n") == "Version: 4.1.1; Unseizing 7 into 1"


@pytest.mark.parametrize("text", ["", "\n\n", "(00.000740) Error (x): rlimit: Can't setup RLIMIT_NOFILE for self\n"])
def test_of_nothing_nothing_is_told(text: str) -> None:
    assert log_end(text) == ""


def test_what_is_told_is_short_and_the_end_of_it_is_there() -> None:
    many = "".join(f"(00.1) Error (criu/x.c:{n}): {'y' * 300}\n" for n in range(100))
    told = log_end(many)
    assert len(told) <= MOST
    assert told.count("Error") > 3
    assert "x.c:99)" in told
    long = log_end("Error " + "z" * 5000 + "end")
    assert len(long) <= MOST
    assert long.endswith("end")


def test_a_log_tells_how_a_dump_has_ended() -> None:
    assert verdict("(00.1) Writing stats\n(00.2) Dumping finished successfully\n") == "finished"
    assert verdict(LOG) == "failed"
    assert verdict(LOG + "(00.3) Error (criu/cgroup.c:1998): cg: cgroupd: recv req error\n") == "failed"
    assert verdict("(00.1) Dumping processes (pid: 104 comm: Dumping finished successfully)\n(00.2) x\n") == "unknown"
    assert verdict("") == "unknown"


def test_a_log_tells_whether_a_process_could_not_be_stopped_just_then() -> None:
    assert unstoppable(
        "(00.1) SEIZE 81 (comm vf): success\n(10.1) Error (criu/cr-dump.c:1655): Timeout reached. Try to interrupt: 0\n"
        "(10.1) Error (criu/cr-dump.c:1975): Dumping FAILED.\n"
    )
    assert not unstoppable(LOG)
    assert not unstoppable("(00.1) SEIZE 81 (comm Timeout reached): success\n")
