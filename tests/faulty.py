"""A containerd that fails where a test says: every call of the runtime is counted, and one of them does not come to its end."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

from bridge.errors import CommandFailed

__all__ = ["Faulty"]

PARTS = ("containers", "tasks", "images", "snapshots", "leases")


class Faulty:
    """Passes everything on to a runtime; `calls` are its calls so far, such as "snapshots.prepare".

    Args:
        runtime: the one behind it.
        at: which call fails, counted from 0; None for none.
        error: what it raises; None to be cancelled there.
        after: whether it fails only after the call has had its effect.
    """

    def __init__(
        self, runtime: Any, at: int | None = None, error: CommandFailed | None = None, *, after: bool = False
    ) -> None:
        self.calls: list[str] = []
        self._runtime = runtime
        self._at = at
        self._error = error
        self._after = after
        for part in PARTS:
            setattr(self, part, _Part(self, part, getattr(runtime, part)))

    async def privileges(self) -> Any:
        return await self.call("privileges", self._runtime.privileges)

    async def version(self) -> Any:
        return await self._runtime.version()

    async def call(self, name: str, call: Callable[[], Any]) -> Any:
        fails = len(self.calls) == self._at
        self.calls.append(name)
        if fails and not self._after:
            await self._fail()
        try:
            return await call()
        finally:
            if fails and self._after:
                await self._fail()

    async def _fail(self) -> None:
        if self._error is not None:
            raise self._error
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.sleep(0)


class _Part:
    def __init__(self, faulty: Faulty, name: str, part: Any) -> None:
        self._faulty = faulty
        self._name = name
        self._part = part

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)
        if not inspect.iscoroutinefunction(method):
            return method

        async def call(*args: Any, **options: Any) -> Any:
            return await self._faulty.call(f"{self._name}.{name}", lambda: method(*args, **options))

        return call
