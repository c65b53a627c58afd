"""What the methods of a stub look like to a type checker.

grpc carries no annotations of its own. These protocols say which part of its interface is used here; nothing of them
exists at run time. Names without `Blocking` are for `grpc.aio` channels. Hand-written.
"""

from collections.abc import AsyncIterable, AsyncIterator, Generator, Iterable, Iterator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

import grpc
from google.protobuf.message import Message

Request_contra = TypeVar("Request_contra", bound=Message, contravariant=True)
Response_co = TypeVar("Response_co", bound=Message, covariant=True)
Metadata: TypeAlias = Sequence[tuple[str, str | bytes]]


class Call(Protocol):
    """A call under way on a `grpc.aio` channel."""

    def cancel(self) -> bool:
        """Give the call up; true if it was still under way."""

    def done(self) -> bool:
        """Whether the call has ended, for better or worse."""

    async def code(self) -> grpc.StatusCode:
        """Status of the call, once it has ended."""

    async def details(self) -> str:
        """The server's words to the status, once the call has ended."""

    async def initial_metadata(self) -> Metadata:
        """What the server sent ahead of its first response."""

    async def trailing_metadata(self) -> Metadata:
        """What the server sent with the status."""

    async def wait_for_connection(self) -> None:
        """Return when the server has the call; raises `grpc.aio.AioRpcError` if it does not get there."""


class UnaryCall(Call, Protocol[Response_co]):
    """Await it for the one response."""

    def __await__(self) -> Generator[Any, None, Response_co]: ...


class StreamCall(Call, Protocol[Response_co]):
    """Iterate over it for the responses."""

    def __aiter__(self) -> AsyncIterator[Response_co]: ...

    async def read(self) -> Response_co | Any:
        """The next response, or `grpc.aio.EOF` after the last one."""


class DuplexCall(StreamCall[Response_co], Protocol[Request_contra, Response_co]):
    """A stream in both directions; requests are written here unless they were given as an iterator.

    grpc allows one way or the other on a call: `write` goes with `read`, an iterator of requests with iteration.
    """

    async def write(self, request: Request_contra, /) -> None:
        """Send one request."""

    async def done_writing(self) -> None:
        """Say that no more requests follow."""


class UnaryUnary(Protocol[Request_contra, Response_co]):
    """One request, one response."""

    def __call__(
        self,
        request: Request_contra,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> UnaryCall[Response_co]: ...


class UnaryStream(Protocol[Request_contra, Response_co]):
    """One request, many responses."""

    def __call__(
        self,
        request: Request_contra,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> StreamCall[Response_co]: ...


class StreamStream(Protocol[Request_contra, Response_co]):
    """Many requests, many responses."""

    def __call__(
        self,
        requests: AsyncIterable[Request_contra] | Iterable[Request_contra] | None = None,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> DuplexCall[Request_contra, Response_co]: ...


class BlockingStreamCall(Protocol[Response_co]):
    """Responses of a call on a `grpc` channel: iterate over it; another thread may cancel it."""

    def __iter__(self) -> Iterator[Response_co]: ...

    def __next__(self) -> Response_co: ...

    def cancel(self) -> bool:
        """Give the call up; the iterating thread gets a `grpc.RpcError` with status CANCELLED."""

    def code(self) -> grpc.StatusCode:
        """Status of the call; waits until it has ended."""

    def details(self) -> str:
        """The server's words to the status; waits until the call has ended."""


class BlockingUnaryUnary(Protocol[Request_contra, Response_co]):
    """One request, one response; the thread waits."""

    def __call__(
        self,
        request: Request_contra,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> Response_co: ...


class BlockingUnaryStream(Protocol[Request_contra, Response_co]):
    """One request, many responses; the thread waits for each."""

    def __call__(
        self,
        request: Request_contra,
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> BlockingStreamCall[Response_co]: ...


class BlockingStreamStream(Protocol[Request_contra, Response_co]):
    """Many requests, many responses; grpc pulls the requests in a thread of its own."""

    def __call__(
        self,
        requests: Iterator[Request_contra],
        /,
        *,
        timeout: float | None = None,
        metadata: Metadata | None = None,
        wait_for_ready: bool | None = None,
    ) -> BlockingStreamCall[Response_co]: ...
