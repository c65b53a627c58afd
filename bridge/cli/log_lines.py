"""What the daemon logs: in which form, with which fields, and how often the same thing may be said.

A log that is read by people on a terminal has sentences, one that is collected has one JSON object on each line, and one that
journald keeps has sentences with their level in front, as it knows them. Nothing that repeats itself may fill the disk under it:
of the same message `BURST` go out in `INTERVAL_S`, and after that one line says how many more there were. The first ones always
do, whatever else is said, and so does everything that was asked for with `debug`.
"""

from __future__ import annotations

import json
import logging
import sys
import threading
import time
from collections.abc import Callable
from typing import Final, TextIO

from bridge.config import Config
from bridge.model.nanos import Nanos, format_rfc3339

__all__ = ["BURST", "INTERVAL_S", "SparingHandler", "configure_logging", "formatter"]

BURST: Final = 100
"""Lines of the same message that go out in one interval."""

INTERVAL_S: Final = 60.0

_KNOWN: Final = 1_000
"""Different messages that are counted at a time; with more, those are forgotten whose interval is over, and then all."""

_OPEN: Final = {"%s", "%r"}
"""Messages that are nothing but somebody's sentence: it is the sentence that counts as the same."""

_PRIORITY: Final = {"DEBUG": 7, "INFO": 6, "WARNING": 4, "ERROR": 3, "CRITICAL": 2}
"""Levels by the numbers of syslog(3), which journald takes off the front of a line (sd-daemon(3))."""


def configure_logging(config: Config, stream: TextIO | None = None) -> None:
    """Log to standard error, or to `stream`, in the form and from the level on that the configuration says."""
    to = sys.stderr if stream is None else stream
    handler = SparingHandler(to)
    handler.setFormatter(formatter(config.log_format, node=config.node, terminal=to.isatty()))
    logging.basicConfig(level=config.log_level.upper(), handlers=[handler], force=True)
    for chatty in ("asyncio", "uvicorn.error", "nats"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def formatter(form: str, *, node: str, terminal: bool) -> logging.Formatter:
    """Return what makes lines of this form: `text`, `json` or `journal`; `auto` is text on a terminal and JSON elsewhere."""
    match form.strip().lower():
        case "text":
            return _Text()
        case "journal":
            return _Journal()
        case "auto" if terminal:
            return _Text()
        case _:
            return _Json(node)


class _Message:
    """One message that repeats itself: how often in this interval, and what was the last one."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.said = 0
        self.held: logging.LogRecord | None = None


class SparingHandler(logging.StreamHandler[TextIO]):
    """Writes lines, of the same message no more than `burst` in `interval_s`; what was held back is counted and said."""

    def __init__(
        self,
        stream: TextIO,
        *,
        burst: int = BURST,
        interval_s: float = INTERVAL_S,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(stream)
        self._burst = burst
        self._interval_s = interval_s
        self._clock = clock
        self._messages: dict[tuple[str, int, str], _Message] = {}
        self._timer: threading.Timer | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write it, or count it. Called with the handler's lock held."""
        if record.levelno <= logging.DEBUG:
            super().emit(record)
            return
        at = self._clock()
        key = (record.name, record.levelno, record.getMessage() if record.msg in _OPEN else str(record.msg))
        message = self._messages.get(key)
        if message is not None and at - message.began >= self._interval_s:
            self._sum_up(message)
            message = None
        if message is None:
            self._make_room(at)
            message = self._messages[key] = _Message(at)
        message.said += 1
        if message.said <= self._burst:
            super().emit(record)
        else:
            message.held = record
            self._sum_up_later()

    def close(self) -> None:
        """Say what was held back, and write no more."""
        with self.lock or threading.RLock():
            self._finish(lambda _message: True)
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        super().close()

    # -- inside

    def _sum_up(self, message: _Message) -> None:
        last, held = message.held, message.said - self._burst
        if last is None:
            return
        message.held = None
        text = (
            f"{last.getMessage()} (and {held - 1} more like it, within {self._interval_s:.0f} s, that are not logged)"
        )
        told = logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, None, None)
        told.suppressed = held - 1
        super().emit(told)

    def _sum_up_later(self) -> None:
        if self._timer is None:
            self._timer = threading.Timer(self._interval_s, self._end_interval)
            self._timer.daemon = True
            self._timer.start()

    def _end_interval(self) -> None:
        with self.lock or threading.RLock():
            self._timer = None
            at = self._clock()
            self._finish(lambda message: at - message.began >= self._interval_s)
            if any(message.held is not None for message in self._messages.values()):
                self._sum_up_later()

    def _make_room(self, at: float) -> None:
        if len(self._messages) >= _KNOWN:
            self._finish(lambda message: at - message.began >= self._interval_s)
        if len(self._messages) >= _KNOWN:
            self._finish(lambda _message: True)

    def _finish(self, over: Callable[[_Message], bool]) -> None:
        for key, message in list(self._messages.items()):
            if over(message):
                self._sum_up(message)
                del self._messages[key]


def _time(record: logging.LogRecord) -> str:
    return format_rfc3339(Nanos(round(record.created * 1e6) * 1_000))[:23] + "Z"


class _Text(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.levelname.lower():7} {record.getMessage()}"
        return f"{text}\n{self.formatException(record.exc_info)}" if record.exc_info else text


class _Journal(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}\n{self.formatException(record.exc_info)}"
        return "\n".join(f"<{_PRIORITY.get(record.levelname, 5)}>{line}" for line in text.splitlines() or [""])


class _Json(logging.Formatter):
    def __init__(self, node: str) -> None:
        super().__init__()
        self._node = node

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "node": self._node,
            "message": record.getMessage(),
        }
        if (suppressed := getattr(record, "suppressed", None)) is not None:
            line["suppressed"] = suppressed
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
