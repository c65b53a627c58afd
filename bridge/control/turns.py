"""Which lane each command waits in for its turn.

What changes a container goes through that container's lane. What only looks shares one for the whole node, what only waits
another, wider one; images come in a lane of each namespace, and their names go in one of the node.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

from bridge.control.lanes import Lane, Lanes, LaneStatistics, Rest, SharedLanes
from bridge.control.order import Order
from bridge.model.commands import Rmi

__all__ = ["IMAGES_WIDTH", "Turns"]

OBSERVING_WIDTH: Final = 16
"""Looks at containerd at the same time: its database answers one after another anyway, in milliseconds."""

OBSERVING_WAITING: Final = 1_000

IMAGES_WIDTH: Final = 4
IMAGES_TOGETHER: Final = 16
IMAGES_WAITING: Final = 64
IMAGES_ENTERED: Final = 256
"""Images that come at the same time into one namespace, and into all: each takes the network and the disk to itself. A registry
that hangs holds up the namespaces that ask it, and no other one."""

NAMES_WIDTH: Final = 4
NAMES_WAITING: Final = 64
"""Names of images that go at the same time. They wait for nothing that comes: often they are to make room for it."""

LASTING_WIDTH: Final = 512
"""Commands that only wait, at the same time: each is a call to containerd that stays open, and a task here, 20 KiB together.
A quarter of what the inbox takes, so that there is always room for others."""


class Turns:
    """The lanes of one node."""

    def __init__(self, lanes: Lanes) -> None:
        """Take those of the containers, which others wait in, too."""
        self._lanes = lanes
        self._images = SharedLanes(
            "images", width=IMAGES_WIDTH, together=IMAGES_TOGETHER, waiting=IMAGES_WAITING, entered=IMAGES_ENTERED
        )
        self._names = Lane("the names of this node's images", width=NAMES_WIDTH, waiting=NAMES_WAITING)
        self._observing = Lane("this node's containerd", width=OBSERVING_WIDTH, waiting=OBSERVING_WAITING)
        self._lasting = Lane("what happens on this node", width=LASTING_WIDTH, waiting=0)

    def turn(self, order: Order, queued: Callable[[], None] = lambda: None) -> AbstractAsyncContextManager[Rest]:
        """Wait for the command's turn; `queued` is called where it has to wait."""
        patient = order.request.via == "job"
        if order.lasting:
            return self._lasting.turn(patient=patient)
        if not order.queues:
            return self._observing.turn(patient=patient)
        if order.target is None:
            if order.subject.verb == Rmi.verb:
                return self._names.turn(patient=patient, queued=queued)
            return self._images.turn(order.subject.namespace or "", patient=patient, queued=queued)
        return self._lanes.turn(
            *order.target, patient=patient, queued=queued, passes=order.passes, passable=order.passable
        )

    def follows(self, order: Order) -> bool:
        """Tell whether what it is about, and is not there, may be what a command before it is making."""
        follows = order.kind is not None and order.kind.follows
        return follows and order.target is not None and self._lanes.busy(*order.target)

    def behind(self, order: Order) -> AbstractAsyncContextManager[Rest]:
        """Wait until those that are before it are through."""
        assert order.target is not None
        return self._lanes.turn(*order.target, passable=True)

    @property
    def changing(self) -> LaneStatistics:
        """How full the lanes of containers are."""
        return self._lanes.statistics()

    @property
    def observing(self) -> LaneStatistics:
        """How full the lane of those is that only look."""
        return self._observing.statistics()
