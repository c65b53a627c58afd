"""A subscriber that only counts: how fast the source is, and the most that any client in Python could take from it.

python -m benchmarks.counting SOCKET EVENTS
"""

from __future__ import annotations

import sys

import grpc
from grpc.experimental import ChannelOptions

from bridge._pb.containerd.services.events_pb2 import Events, SubscribeRequest

__all__ = ["main"]


def main(arguments: list[str]) -> int:
    """Count so many events from the socket, say `counted`, and end when the input does."""
    path, events = arguments
    options = [(ChannelOptions.SingleThreadedUnaryStream, 1), ("grpc.default_authority", "localhost")]
    with grpc.insecure_channel(f"unix://{path}", options=options) as channel:
        stream = Events.Subscribe.bind(channel, raw=True)(SubscribeRequest())
        left = int(events)
        for _ in stream:
            left -= 1
            if not left:
                break
        print("counted", flush=True)
        sys.stdin.read()  # its CPU time is read while it lives
        stream.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
