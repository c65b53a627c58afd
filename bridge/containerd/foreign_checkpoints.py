"""Whose checkpoint an image is that does not say so by its name, as `ctr container checkpoint` makes it: found out by its spec.

Such an image has no container's id anywhere, but the dumped container's spec, byte for byte as it stands in the container's
record. Where one record of the namespace has it, and one alone, the checkpoint is that one's; where several have it, as after a
restore under another id, or none any more, nobody knows, and nothing is said.

This asks containerd a few times for each image that is made, so it is done beside the stream of events and never on its way.
"""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Final

import grpc
import msgspec
from google.protobuf.message import DecodeError
from msgspec import Struct, field

from bridge._pb.containerd.services import containers_pb2, content_pb2, images_pb2
from bridge._pb.google.protobuf.any_pb2 import Any as Packed
from bridge.containerd.channel import blocking_channel, in_namespace
from bridge.containerd.manifests import LARGEST, is_index
from bridge.model.kinds import decoder
from bridge.ports.checkpoints import CRIU_TAR, SPEC_PART

__all__ = ["container_of"]

log = logging.getLogger(__name__)

WITHIN_S: Final = 10.0


class _Part(Struct):
    media_type: str = field(default="", name="mediaType")
    digest: str = ""
    size: int = 0


class _Index(Struct):
    manifests: list[_Part] = []


def container_of(address: Path, namespace: str, image: str) -> str | None:
    """Return the id of the container that an image is a checkpoint of; None for any other image, and where nobody knows.

    Blocks until containerd has answered; never raises.
    """
    channel = blocking_channel(address)
    try:
        return _container_of(channel, {"timeout": WITHIN_S, "metadata": in_namespace(namespace)}, image)
    except (grpc.RpcError, msgspec.DecodeError, DecodeError, RecursionError) as error:
        log.debug("whether image %s in %s is a checkpoint cannot be seen: %s", image, namespace, error)
        return None
    finally:
        channel.close()


def _container_of(channel: Any, options: dict[str, Any], image: str) -> str | None:
    request = images_pb2.GetImageRequest(name=image)
    target = images_pb2.ImagesBlockingStub(channel).Get(request, **options).image.target
    if not is_index(target.media_type) or target.size > LARGEST:
        return None
    parts = decoder(_Index).decode(_read(channel, options, target.digest)).manifests
    spec = next((part for part in parts if part.media_type == SPEC_PART and part.size <= LARGEST), None)
    if spec is None or not any(part.media_type == CRIU_TAR for part in parts):
        return None
    dumped = Packed.FromString(_read(channel, options, spec.digest))
    stub = containers_pb2.ContainersBlockingStub(channel)
    records = (message.container for message in stub.ListStream(containers_pb2.ListContainersRequest(), **options))
    having = [record.id for record in records if record.spec.value == dumped.value]
    return having[0] if len(having) == 1 else None


def _read(channel: Any, options: dict[str, Any], digest: str) -> bytes:
    request = content_pb2.ReadContentRequest(digest=digest)
    return b"".join(part.data for part in content_pb2.ContentBlockingStub(channel).Read(request, **options))
