"""docs/stdio.md: its client, which knows nothing of us, does what the page says; and the page names every word there is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from msgspec.structs import fields

from bridge.model import stdio
from bridge.model.outcomes import ExecResult
from bridge.model.stdio import TRUNCATIONS, Credit, InputReply
from tests.fix_bridge import Bridge
from tests.pages import blocks
from tests.testbed import BUSYBOX, Ctr

CLAIMED = blocks("docs/stdio.md", "python")
PAGE = (Path(__file__).parents[2] / "docs" / "stdio.md").read_text("utf-8")


def test_the_client_of_the_page_runs_a_process(bridge: Bridge, nats_url: str, ctr: Ctr, tmp_path: Path) -> None:
    bridge.until_logged("is up")
    ctr("run", "--detach", BUSYBOX, "web", "sleep", "1000")
    [block] = CLAIMED
    (tmp_path / "client.py").write_text(block.text, "utf-8")
    words = [sys.executable, "-I", str(tmp_path / "client.py"), nats_url, "n1", ctr.namespace, "web"]
    ran = subprocess.run(words, capture_output=True, timeout=90, check=False)
    assert (ran.returncode, ran.stdout, ran.stderr) == (3, b"hello\n", b"")


def test_the_page_has_every_header_reason_and_field() -> None:
    headers = {value for value in vars(stdio).values() if isinstance(value, str) and value.startswith("Stdio-")}
    assert len(headers) > 8
    told = {*headers, *(f"`{word}`" for word in TRUNCATIONS), *(f'"{one.name}"' for one in fields(Credit))}
    told |= {f"`{one.name}`" for one in fields(InputReply)}
    kept = {
        "pid",
        "exit_status",
        "exited_at",
        "timed_out",
        "stdout",
        "stderr",
    }  # what there is to know without a client
    told |= {f"`{one.name}`" for one in fields(ExecResult) if one.name not in kept}
    assert [word for word in sorted(told) if word not in PAGE] == []
