"""Pulling through containerd's Transfer service: it resolves, fetches, unpacks and records the image itself, since 1.7.

Two streams run beside the call: on one containerd tells how far it is, on the other it asks for credentials, which so
never stand in a request that could be logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, Final

import grpc
import grpc.aio

from bridge._pb.containerd import transfer_pb2
from bridge._pb.containerd.services import streaming_pb2
from bridge._pb.containerd.services import transfer_pb2 as service_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as WireAny
from bridge.containerd.channel import in_namespace
from bridge.containerd.deadlines import LOOK_S, UNPACK_S
from bridge.containerd.errors import command_errors
from bridge.containerd.manifests import read_platform
from bridge.errors import CommandFailed
from bridge.model.commands import Pull
from bridge.model.identity import new_ulid
from bridge.model.outcomes import Progress
from bridge.ports import RuntimeVersion, Tell

__all__ = ["Transfer"]

log = logging.getLogger(__name__)

PULL_S: Final = 6 * 3600.0
"""Deadline of a whole pull, also of one that gets somewhere: whoever waits gives up much earlier, this is where nobody waits."""

NOT_UNPACKED: Final = "no unpack platforms defined"
"""How containerd says that it is configured to unpack nothing of what was asked for (containerd, core/unpack)."""

UNTIL_UNPACKED_S: Final = UNPACK_S
"""How long nothing need be told once all that was told of has come: not every containerd tells of unpacking."""

COMING: Final = frozenset({"waiting", "downloading"})
"""What containerd tells of a part that is not all there (containerd, core/transfer/local/progress.go)."""

LAST_WORDS_S: Final = 2.0
"""How long progress is still listened to after the pull is done."""


class Transfer:
    """The Transfer service of one containerd."""

    def __init__(self, channel: Any, version: Callable[[], Awaitable[RuntimeVersion]]) -> None:
        """Take the channel, and how to ask for the version: what older servers do not know they would pass over."""
        self._transfer = service_pb2.TransferStub(channel)
        self._streaming = streaming_pb2.StreamingStub(channel)
        self._version = version

    async def pull(self, namespace: str, wanted: Pull, tell: Tell) -> None:
        """Pull an image; it may come out not unpacked.

        containerd unpacks with the snapshotters and for the platforms that its Transfer service is configured for, and no others:
        1.7 passes over them without a word, 2.x refuses.

        Raises:
            CommandFailed: `unimplemented`, where this containerd cannot, or could only without what is asked for.
        """
        await self._check(wanted)
        platform = read_platform(wanted.platform)
        unpack = transfer_pb2.UnpackConfiguration(platform=platform, snapshotter=wanted.snapshotter)
        try:
            await self._pull(namespace, wanted, tell, [unpack])
        except CommandFailed as error:
            if NOT_UNPACKED not in (error.containerd or ""):
                raise
            await self._pull(namespace, wanted, tell, [])

    async def _pull(
        self, namespace: str, wanted: Pull, tell: Tell, unpacks: Sequence[transfer_pb2.UnpackConfiguration]
    ) -> None:
        platform, pace = read_platform(wanted.platform), _Pace(wanted, tell)
        with command_errors(f"pull {wanted.image} in {namespace}"):
            async with (
                self._stream(
                    namespace,
                    "progress",
                    lambda call: _progress(call, wanted.id or "", pace.told),
                    last_words=LAST_WORDS_S,
                ) as progress,
                self._credentials(namespace, wanted) as credentials,
            ):
                source = transfer_pb2.OCIRegistry(
                    reference=wanted.image,
                    resolver=transfer_pb2.RegistryResolver(
                        auth_stream=credentials,
                        host_dir=wanted.hosts_dir,
                        default_scheme="http" if wanted.plain_http else "",
                    ),
                )
                destination = transfer_pb2.ImageStore(
                    name=wanted.image, labels=wanted.labels, platforms=[platform], unpacks=unpacks
                )
                request = service_pb2.TransferRequest(
                    source=_wrapped(source),
                    destination=_wrapped(destination),
                    options=service_pb2.TransferOptions(progress_stream=progress),
                )
                await pace.kept(self._transfer.Transfer(request, timeout=PULL_S, metadata=in_namespace(namespace)))

    async def _check(self, wanted: Pull) -> None:
        version = (await self._version()).version
        generation = _generation(version)
        if generation < (1, 7):
            raise CommandFailed(
                "unimplemented",
                f"containerd {version} cannot pull by itself, 1.7 and later can: import the image from an archive",
            )
        if generation < (2, 0) and (wanted.plain_http or wanted.hosts_dir):
            raise CommandFailed(
                "unimplemented",
                f"containerd {version} takes neither plain_http nor hosts_dir, 2.0 and later do: leave them out, or "
                "import the image from an archive",
            )

    @asynccontextmanager
    async def _credentials(self, namespace: str, wanted: Pull) -> AsyncIterator[str]:
        if not (wanted.username or wanted.password):
            yield ""
            return
        async with self._stream(namespace, "credentials", lambda call: _answer(call, wanted)) as stream:
            yield stream

    @asynccontextmanager
    async def _stream(
        self, namespace: str, what: str, serve: Callable[[Any], Awaitable[None]], *, last_words: float = 0.0
    ) -> AsyncIterator[str]:
        """Open a stream beside the call and serve it as long as the block lasts, and a little longer; yield its id."""
        name = f"containerd-bridge-{what}-{new_ulid()}"
        call = self._streaming.Stream(metadata=in_namespace(namespace))
        serving: asyncio.Future[None] | None = None
        try:
            await call.write(_wrapped(streaming_pb2.StreamInit(id=name)))
            async with asyncio.timeout(LOOK_S):
                if await call.read() is grpc.aio.EOF:  # the answer says that the name is known from now on
                    raise grpc.aio.AioRpcError(
                        await call.code(), await call.initial_metadata(), await call.trailing_metadata()
                    )
            serving = asyncio.ensure_future(serve(call))
            yield name
            await asyncio.wait({serving}, timeout=last_words)
        finally:
            if serving is not None:
                serving.cancel()
                await asyncio.gather(serving, return_exceptions=True)
            call.cancel()


class _Pace:
    """Whether a pull gets anywhere: what is told of its progress says so."""

    def __init__(self, wanted: Pull, tell: Tell) -> None:
        self._wanted = wanted
        self._tell = tell
        self._parts: dict[str, Progress] = {}
        self._moved = asyncio.get_running_loop().time()

    def told(self, progress: Progress) -> None:
        """Take what was told, and hand it on."""
        if self._parts.get(progress.name) != progress:
            self._parts[progress.name] = progress
            self._moved = asyncio.get_running_loop().time()
        self._tell(progress)

    async def kept(self, call: Any) -> None:
        """Wait for the call as long as it gets anywhere; it is cancelled where this is left early.

        Raises:
            CommandFailed: `deadline_exceeded`: it got nowhere.
        """
        work = asyncio.ensure_future(_answered(call))
        try:
            while not work.done():
                left = self._moved + self._patience - asyncio.get_running_loop().time()
                if left <= 0:
                    raise CommandFailed(
                        "deadline_exceeded",
                        f"the registry of {self._wanted.image} has sent nothing for {self._patience:g} s: see whether it is "
                        "there, or give it longer with stall",
                    )
                await asyncio.wait({work}, timeout=left)
            await work
        finally:
            work.cancel()
            call.cancel()
            await asyncio.gather(work, return_exceptions=True)

    @property
    def _patience(self) -> float:
        """As long as wanted, but longer once all has come: what is left to do is containerd's own."""
        layers = any(name.startswith("layer-") for name in self._parts)
        coming = any(part.event in COMING and part.done < part.total for part in self._parts.values())
        return max(self._wanted.stall, UNTIL_UNPACKED_S) if layers and not coming else self._wanted.stall


async def _answered(call: Any) -> None:
    await call


async def _progress(call: Any, command_id: str, tell: Tell) -> None:
    while (message := await call.read()) is not grpc.aio.EOF:
        if message.type_url != transfer_pb2.Progress.DESCRIPTOR.full_name:
            continue
        told = transfer_pb2.Progress.FromString(message.value)
        tell(
            Progress(
                id=command_id,
                name=told.name,
                event=told.event,
                done=max(0, told.progress),
                total=max(0, told.total),
                parents=list(told.parents),
            )
        )


async def _answer(call: Any, wanted: Pull) -> None:
    answer = transfer_pb2.AuthResponse(
        authType=transfer_pb2.CREDENTIALS, username=wanted.username, secret=wanted.password
    )
    while (message := await call.read()) is not grpc.aio.EOF:
        asked = transfer_pb2.AuthRequest.FromString(message.value)
        # A registry may send us elsewhere for a token, but never to a host that the image is not from.
        own = asked.host == _host(wanted.image)
        if not own:
            log.warning("host %r asks for the credentials of %s and gets none", asked.host, wanted.image)
        await call.write(_wrapped(answer if own else transfer_pb2.AuthResponse(authType=transfer_pb2.NONE)))


def _host(image: str) -> str:
    host = image.partition("/")[0]
    return "registry-1.docker.io" if host == "docker.io" else host


def _generation(version: str) -> tuple[int, int]:
    numbers = version.removeprefix("v").split(".")
    try:
        return int(numbers[0]), int(numbers[1])
    except (IndexError, ValueError):
        return (2, 0)  # built by hand: its own answer will tell


def _wrapped(message: Any) -> WireAny:
    # The bare name: containerd compares it as a whole (containerd/typeurl, UnmarshalTo).
    return WireAny(type_url=message.DESCRIPTOR.full_name, value=message.SerializeToString())
