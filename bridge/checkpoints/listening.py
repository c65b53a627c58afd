"""Whether the ports of a checkpoint are free in the network that it would go on in. Pure.

CRIU opens every socket again where it was, so a port that somebody else has is the end of a restore. In a network that is made
anew none is taken.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from bridge.checkpoints.finding import blocks, fine, network_of, risk, some, unknown
from bridge.model.checkpoints import Finding, Listening

__all__ = ["found_ports"]

ANY: Final = {"0.0.0.0", "::"}  # noqa: S104 - addresses that are compared, and not bound
BOTH: Final = "::"
"""Unless a program says otherwise it stands for every address of IPv4 too."""


def found_ports(
    spec: Mapping[str, Any] | None, listens: Sequence[Listening] | None, taken: Sequence[Listening] | None
) -> Finding:
    """Judge the ports.

    Args:
        spec: of the container as it would be made.
        listens: where its processes listened when it was dumped, null where nobody has looked.
        taken: where anybody listens in the network that it would be in, null where that cannot be seen.
    """
    where = network_of(spec)
    if where == "own":
        return fine("ports", "in a network of its own every port is free")
    if where == "unknown":
        return unknown("ports", "in which network its ports would be is not known", "look at the checkpoint's spec")
    if listens is None:
        return unknown("ports", "where it listens is not known", "look with `ss -lntu` where it was dumped")
    return _found(listens, taken) if listens else fine("ports", "it listens nowhere")


def _found(listens: Sequence[Listening], taken: Sequence[Listening] | None) -> Finding:
    if taken is None:
        says = f"whether its ports are free is not known: {_names(listens)}"
        return unknown("ports", says, "look with `ss -lntu` in that network")
    if lost := [one for one in listens if any(_collide(one, other) for other in taken)]:
        says = f"somebody listens already where it does: {_names(lost)}"
        return blocks("ports", says, "end what listens there, or have it in another network")
    if doubtful := [one for one in listens if any(_may_collide(one, other) for other in taken)]:
        says = f"somebody may listen already where it does, on every address: {_names(doubtful)}"
        return risk("ports", says, "end what listens there, or have it in another network")
    return fine("ports", f"its ports are free: {_names(listens)}")


def _collide(one: Listening, other: Listening) -> bool:
    if not _same_port(one, other) or (":" in one.address) != (":" in other.address):
        return False
    return one.address == other.address or bool(ANY & {one.address, other.address})


def _may_collide(one: Listening, other: Listening) -> bool:
    return _same_port(one, other) and BOTH in {one.address, other.address}


def _same_port(one: Listening, other: Listening) -> bool:
    return (one.protocol, one.port) == (other.protocol, other.port)


def _names(listens: Sequence[Listening]) -> str:
    named = [f"{one.protocol} {one.address} {one.port}" for one in listens]
    return some(list(dict.fromkeys(named)))
