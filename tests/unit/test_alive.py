"""The health check of the image: what it asks, and what it finds fault with."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from bridge.alive import fault


class Served(BaseHTTPRequestHandler):
    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status if self.path == "/livez" else 404)
        self.end_headers()
        self.wfile.write(b"the feed stands still\n")

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def port() -> Iterator[int]:
    with HTTPServer(("127.0.0.1", 0), Served) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server.server_address[1]
        server.shutdown()
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", ""])
def test_what_is_served_and_lives_has_no_fault(port: int, host: str) -> None:
    assert fault({"CONTAINERD_BRIDGE_HTTP": f"{host}:{port}"}) is None


def test_what_does_not_live_says_why(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Served, "status", 503)
    assert fault({"CONTAINERD_BRIDGE_HTTP": f"127.0.0.1:{port}"}) == "/livez says 503: the feed stands still"


def test_where_nothing_is_served_there_is_nothing_to_find_fault_with() -> None:
    assert fault({}) is None


def test_where_nobody_answers_it_ends_with_status_1_and_a_sentence() -> None:
    environ = {"CONTAINERD_BRIDGE_HTTP": "127.0.0.1:1"}
    ran = subprocess.run(
        [sys.executable, "-m", "bridge.alive"], env=environ, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith("nothing answers at 127.0.0.1:1: ")
