"""What containers of several nodes use, looked at again and again: each look says what was used since the one before."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from msgspec import Struct, structs

from bridge.client.containers import Place
from bridge.client.node import Node
from bridge.errors import CommandFailed
from bridge.model.outcomes import TaskStats
from bridge.model.usage import Usage, usage

__all__ = ["Look", "Measured", "Meter"]


class Measured(Struct, frozen=True, kw_only=True):
    """One container: what its node told, and what follows from this look and the one before."""

    stats: TaskStats
    usage: Usage


class Look(Struct, frozen=True, kw_only=True):
    """What the nodes told, by node, namespace and container, and which node failed and why."""

    containers: list[Measured]
    failures: dict[str, CommandFailed]


class Meter:
    """Asks nodes what their containers use; each node once for a look, however many containers it has."""

    def __init__(
        self, nodes: Sequence[Node], *, namespaces: Sequence[str | None] = (None,), places: Sequence[Place] = ()
    ) -> None:
        """Take whom to ask.

        Args:
            nodes: these nodes, for all the containers that run there.
            namespaces: only of these namespaces; None stands for all of them.
            places: in place of all that: these containers.
        """
        self._asked: list[tuple[Node, str | None, list[str]]] = []
        if places:
            chosen: dict[tuple[str, str], tuple[Node, list[str]]] = {}
            for place in places:
                chosen.setdefault((place.node.name, place.namespace), (place.node, []))[1].append(place.container)
            self._asked = [(node, namespace, containers) for (_, namespace), (node, containers) in chosen.items()]
        else:
            self._asked = [(node, namespace, []) for node in nodes for namespace in namespaces]
        self._before: dict[tuple[str, str, str], TaskStats] = {}

    async def look(self) -> Look:
        """Ask now."""
        answers = await asyncio.gather(*[self._ask(*asked) for asked in self._asked])
        failures: dict[str, CommandFailed] = {}
        found: dict[tuple[str, str, str], TaskStats] = {}
        for (node, _, _), answer in zip(self._asked, answers, strict=True):
            if isinstance(answer, CommandFailed):
                failures[node.name] = answer
            else:
                for one in answer:
                    own = one if one.node else structs.replace(one, node=node.name)
                    found[own.node, own.namespace, own.container] = own
        measured = [Measured(stats=found[key], usage=usage(self._before.get(key), found[key])) for key in sorted(found)]
        self._before = found
        return Look(containers=measured, failures=failures)

    async def _ask(
        self, node: Node, namespace: str | None, containers: list[str]
    ) -> Sequence[TaskStats] | CommandFailed:
        try:
            if len(containers) == 1:  # whoever may ask for this one alone may ask so
                return await node.stats(containers[0], namespace=namespace)
            return await node.stats(namespace=namespace, containers=containers)
        except CommandFailed as error:
            return error
