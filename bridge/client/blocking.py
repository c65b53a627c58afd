"""A thread with an event loop, in which what is asynchronous runs while its caller waits: what `bridge.client.sync` stands on.

Everything of a bus runs in its one loop, so nothing there is ever called from two threads. Callers may be several threads; each
waits for its own call. Ctrl-C in the waiting thread cancels the call, and is raised when that has come to its end.
"""

from __future__ import annotations

import asyncio
import threading
import weakref
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, contextmanager, suppress
from functools import wraps
from types import TracebackType
from typing import Any, Concatenate, Generic, ParamSpec, Protocol, Self, TypeVar

__all__ = ["Iteration", "Thread", "Waited", "iterates", "makes", "waits"]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
A = TypeVar("A")
B = TypeVar("B")
S_co = TypeVar("S_co", covariant=True)

LOOK_S = 0.1
"""How often whoever waits for a call to end looks whether the thread is there at all."""

CLOSE_S = 5.0
"""How long leaving waits for the thread's last steps."""


class Thread:
    """The thread. Inert until entered; leaving closes what is still iterated over, and ends it."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._live, name="containerd-bridge client", daemon=True)
        self._open: weakref.WeakSet[Iteration[Any]] = weakref.WeakSet()
        self._closed = False

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._closed = True
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CLOSE_S)

    def run(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run it in the loop, wait, and return what it returns or raise what it raises.

        Raises:
            RuntimeError: the bus is closed; or this is its own thread, which cannot wait for itself.
        """
        if self._closed or threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError(
                "the bus is closed"
                if self._closed
                else "a bus cannot be waited for in its own thread: use bridge.client"
            )
        over = threading.Event()

        async def ended() -> asyncio.Task[R]:
            try:
                return await _ended(coroutine)
            finally:
                over.set()

        future = asyncio.run_coroutine_threadsafe(ended(), self._loop)
        try:
            task = future.result()
        except BaseException:  # of the waiting thread's: what is awaited in the loop comes as a task that has ended
            future.cancel()
            while self._thread.is_alive() and not over.wait(LOOK_S):
                pass
            raise
        return task.result()

    @contextmanager
    def entered(self, context: AbstractAsyncContextManager[T]) -> Iterator[T]:
        """Hold an asynchronous context open, in one task from its beginning to its end."""
        leave = asyncio.Event()
        value: asyncio.Future[T] = self._loop.create_future()

        async def hold() -> None:
            try:
                async with context as opened:
                    value.set_result(opened)
                    await leave.wait()
            except BaseException as error:
                if value.done():
                    raise
                value.set_exception(error)

        async def enter() -> tuple[asyncio.Task[None], T]:
            task = asyncio.create_task(hold())
            try:
                return task, await asyncio.shield(value)
            except asyncio.CancelledError:
                task.cancel()
                raise

        async def left(task: asyncio.Task[None]) -> None:
            leave.set()
            await task

        task, opened = self.run(enter())
        try:
            yield opened
        finally:
            for iteration in list(self._open):
                iteration.close()
            self.run(left(task))

    def keep(self, iteration: Iteration[Any]) -> None:
        """Take note of what is iterated over, to close it in the end."""
        self._open.add(iteration)

    def _live(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_forever()
        finally:
            with suppress(RuntimeError):
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.run_until_complete(_cancelled())
            self._loop.close()


async def _cancelled() -> None:
    """End what is still under way: nobody is to wait for ever for an answer out of a loop that is closed."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=CLOSE_S)
        await asyncio.sleep(0)  # whoever waits in another thread is told in the step after


async def _ended(coroutine: Coroutine[Any, Any, R]) -> asyncio.Task[R]:
    """Return it as a task that has ended, so that its errors are told from those of the thread that waits."""
    task = asyncio.ensure_future(coroutine)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait([task])
        raise
    return task


class Waited:
    """What stands for an asynchronous object: that object, and the thread in whose loop it lives."""

    def __init__(self, thread: Thread, real: Any) -> None:
        self.thread = thread
        self.real = real

    def __repr__(self) -> str:
        return repr(self.real)


class Closing(Protocol[S_co]):
    """An asynchronous iterator that can be closed."""

    def __aiter__(self) -> AsyncIterator[S_co]: ...

    async def aclose(self) -> None:
        """Let go of it."""
        ...


class Iteration(Generic[T]):
    """An iterator over what comes; iterate in a `with`, or close it: that ends the subscription behind it."""

    def __init__(self, thread: Thread, events: Closing[T]) -> None:
        self._thread = thread
        self._events = events
        self._step: asyncio.Task[Any] | None = None
        self._closing = False
        thread.keep(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> T:
        found = self._thread.run(self._next())
        if not found:
            raise StopIteration
        return found[0]

    def close(self) -> None:
        """Let go of it; a thread that waits for what comes next is at its end. A second time does nothing."""
        with suppress(RuntimeError):
            self._thread.run(self._close())

    async def _next(self) -> list[T]:
        # A StopAsyncIteration cannot leave a coroutine.
        self._step = asyncio.current_task()
        try:
            async for one in self._events:
                return [one]
        except asyncio.CancelledError:
            if not self._closing:
                raise
        return []

    async def _close(self) -> None:
        step, self._closing = self._step, True
        if step is not None and not step.done():
            step.cancel()
            await asyncio.wait([step])
        await self._events.aclose()


def waits(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Waited, P], R]:
    """Return an asynchronous method as one that waits; its arguments, its results and its errors are the same."""

    @wraps(method)
    def wait(self: Waited, /, *args: P.args, **kwargs: P.kwargs) -> R:
        return self.thread.run(method(self.real, *args, **kwargs))

    return wait


def iterates(
    method: Callable[Concatenate[Any, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[Waited, P], Iteration[R]]:
    """Return a method that gives an asynchronous iterator as one that gives an ordinary one."""

    @wraps(method)
    def iterate(self: Waited, /, *args: P.args, **kwargs: P.kwargs) -> Iteration[R]:
        return Iteration(self.thread, method(self.real, *args, **kwargs))

    return iterate


def makes(
    method: Callable[Concatenate[Any, P], A], kind: Callable[[Thread, A], B]
) -> Callable[Concatenate[Waited, P], B]:
    """Return a method that makes an asynchronous object as one that makes what stands for it."""

    @wraps(method)
    def make(self: Waited, /, *args: P.args, **kwargs: P.kwargs) -> B:
        return kind(self.thread, method(self.real, *args, **kwargs))

    return make
