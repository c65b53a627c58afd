"""Probes: events of our own that prove a subscription live, by coming back through it.

A probe goes through containerd's exchange like every other event, so when it comes back everything that was published
before it has come already. It is published in a namespace of our own, which need not exist, and carries a nonce: who
subscribes knows its own probes, and those of other bridges on the same containerd mean nothing to it.
"""

from __future__ import annotations

import itertools
from typing import Final

from google.protobuf.message import DecodeError

from bridge._pb.containerd.services.events_pb2 import PublishRequest
from bridge._pb.google.protobuf.any_pb2 import Any
from bridge._pb.google.protobuf.field_mask_pb2 import FieldMask
from bridge.model.identity import new_ulid

__all__ = ["PROBE_NAMESPACE", "PROBE_TOPIC", "Nonces", "name_of", "probe_request"]

PROBE_NAMESPACE: Final = "containerd-bridge"
PROBE_TOPIC: Final = "/containerd-bridge/probe"

# Other subscribers get to see probes too, and `ctr events` warns of payloads that it cannot decode. A FieldMask takes any
# text; every client of containerd's Go module has it linked in, because Containers.Update takes one; and nobody acts on
# one that comes as an event, as somebody might on one of containerd's own types.
_TYPE: Final = FieldMask.DESCRIPTOR.full_name


class Nonces:
    """Makes the nonces of one subscription: no other subscription, of whichever bridge, makes the same."""

    def __init__(self) -> None:
        self.mine = new_ulid()
        """What the names of all of them begin with."""
        self._numbers = itertools.count(1)

    def next(self) -> bytes:
        """Return a new nonce, as the payload of a probe carries it."""
        return FieldMask(paths=[f"{self.mine}/{next(self._numbers)}"]).SerializeToString()


def name_of(nonce: bytes) -> str:
    """Return the name of a probe, whosever it is: that of its subscription, a slash, a number; empty for what is none."""
    try:
        return ",".join(FieldMask.FromString(nonce).paths)
    except DecodeError:
        return ""


def probe_request(nonce: bytes) -> PublishRequest:
    """Return what to publish, in `PROBE_NAMESPACE`."""
    return PublishRequest(topic=PROBE_TOPIC, event=Any(type_url=_TYPE, value=nonce))
