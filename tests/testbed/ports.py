"""Ports that stay ours over restarts: nobody else gets one that is bound, and a server of ours may listen on it.

Linux lets a socket listen where another one is bound that does not listen, if both have SO_REUSEADDR, which Go's and asyncio's
listeners set; but it gives no such port to whoever asks for a free one. Who calls there meanwhile is refused.
"""

import socket

__all__ = ["port_of", "reserved"]


def reserved() -> socket.socket:
    """A free port of the loopback interface, for as long as the socket is open."""
    place = socket.socket()
    place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    place.bind(("127.0.0.1", 0))
    return place


def port_of(place: socket.socket) -> int:
    """The port that a socket is bound to."""
    port: int = place.getsockname()[1]
    return port
