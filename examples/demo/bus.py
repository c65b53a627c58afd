"""The bridge and its clients as processes of their own, exactly as somebody would start them."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bridge.jetstream.embedded import embedded_config

__all__ = ["Bridge", "NotSeenError", "Witness"]

WITHIN_S = 90.0
Event = Mapping[str, Any]


class NotSeenError(Exception):
    """Something that has to happen did not; the sentence says what."""


class Bridge:
    """A running `containerd-bridge serve --nats embedded`, and the command line for it."""

    def __init__(self, state_dir: Path, *, colours: bool, node: str = "here", first: Path | None = None) -> None:
        """Take where its state is, and that of the `first` one whose nats-server it uses; that one has its own."""
        self._state_dir = state_dir
        self._colours = colours
        self._node = node
        self._log = state_dir / "serve.log"
        self._environ = os.environ | {
            "CONTAINERD_BRIDGE_STATE_DIR": str(state_dir),
            **(_login(first) if first is not None else {"CONTAINERD_BRIDGE_NATS": "embedded"}),
            **({"FORCE_COLOR": "1"} if colours else {}),
        }

    def beside(self, state_dir: Path, node: str) -> Bridge:
        """Return a bridge of another node on the same bus."""
        return Bridge(state_dir, colours=self._colours, node=node, first=self._state_dir)

    @contextmanager
    def serving(self, *options: str) -> Iterator[None]:
        """Run the daemon until the context is left.

        Raises:
            NotSeenError: it does not come up, or does not go down in good order.
        """
        with self._log.open("wb") as log:
            daemon = self._start("serve", "--node", self._node, *options, stdout=log, stderr=log)
        try:
            self._until_it_answers(daemon)
            yield
            daemon.send_signal(signal.SIGTERM)
            status = daemon.wait(WITHIN_S)
            if status != 0:
                raise NotSeenError(f"serve ended with status {status}: {self._last_words()}")
        finally:
            _end(daemon)

    def run(self, *args: str) -> subprocess.CompletedProcess[str]:
        """Run one command of the command line to its end."""
        argv = [sys.executable, "-m", "bridge", *args]
        return subprocess.run(
            argv,
            env=self._environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=WITHIN_S,
            start_new_session=True,
        )

    @contextmanager
    def following(self, take: Callable[[str], None], *args: str) -> Iterator[None]:
        """Run `events` beside everything else and hand over each line that it prints."""
        follower = self._start("events", "--follow", *args, stdout=subprocess.PIPE, text=True)
        reader = threading.Thread(target=_each_line, args=(follower, take), daemon=True)
        reader.start()
        try:
            yield
        finally:
            _end(follower)
            reader.join()

    def _start(self, *args: str, **options: Any) -> subprocess.Popen[Any]:
        # In a session of its own, so that Ctrl-C is for us: we end it in good order.
        return subprocess.Popen(
            [sys.executable, "-m", "bridge", *args],
            stdin=subprocess.DEVNULL, env=self._environ, start_new_session=True, **options,
        )  # fmt: skip

    def _until_it_answers(self, daemon: subprocess.Popen[Any]) -> None:
        deadline = time.monotonic() + WITHIN_S
        while True:
            answer = self.run("nodes", "--json")
            if answer.returncode == 0 and f'"{self._node}"' in answer.stdout and self._taking():
                return
            if daemon.poll() is not None:
                raise NotSeenError(f"serve ended with status {daemon.returncode}: {self._last_words()}")
            if time.monotonic() > deadline:
                raise NotSeenError(f"serve does not answer: {answer.stderr.strip()} {self._last_words()}")

    def _taking(self) -> bool:
        return "taking commands" in self._log.read_text(errors="replace")

    def _last_words(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        try:
            return str(json.loads(lines[-1])["message"])
        except (IndexError, ValueError, KeyError):
            return " ".join(lines[-1:])


class Witness:
    """Everything that has come by, as CloudEvents, and waiting for what has to come."""

    def __init__(self) -> None:
        self._seen: list[Event] = []
        self._news = threading.Condition()

    def take(self, line: str) -> None:
        """Remember one line of `events --json`."""
        event = json.loads(line)
        with self._news:
            self._seen.append(event)
            self._news.notify_all()

    def words(self, container: str) -> list[str]:
        """Return what happened to a container, in order."""
        with self._news:
            return [_word(event) for event in self._seen if event.get("subject") == container]

    def until(self, container: str | None, word: str, **fields: Any) -> Event:
        """Wait for an event, of a container or of the node, whose data has these fields.

        Raises:
            NotSeenError: it does not come.
        """

        def found() -> Event | None:
            for event in self._seen:
                told = (event.get("subject"), _word(event)) == (container, word)
                if told and all(event["data"].get(name) == value for name, value in fields.items()):
                    return event
            return None

        with self._news:
            if not self._news.wait_for(lambda: found() is not None, WITHIN_S):
                what = ", ".join([word, *[f"{name} {value}" for name, value in fields.items()]])
                raise NotSeenError(f"no event of {container or 'the node'} came that says: {what}")
            event = found()
        assert event is not None
        return event


def _login(state_dir: Path) -> dict[str, str]:
    found = embedded_config(state_dir)
    return {
        "CONTAINERD_BRIDGE_NATS": found.url,
        "CONTAINERD_BRIDGE_NATS_USER": found.user or "",
        "CONTAINERD_BRIDGE_NATS_PASSWORD": found.password or "",
    }


def _word(event: Event) -> str:
    # io.containerd.task.exit.v1 -> task.exit
    return str(event["type"]).removeprefix("io.containerd.").rpartition(".")[0]


def _each_line(process: subprocess.Popen[str], take: Callable[[str], None]) -> None:
    assert process.stdout is not None
    with process.stdout:
        for line in process.stdout:
            take(line.rstrip("\n"))


def _end(process: subprocess.Popen[Any]) -> None:
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
