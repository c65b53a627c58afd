"""Containers of several nodes at once: all of them, or the one that somebody means by a name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from itertools import product
from typing import Final

from msgspec import Struct

from bridge.client.node import Node
from bridge.errors import CommandFailed
from bridge.model.identity import check_identifier
from bridge.model.outcomes import ContainerInfo

__all__ = ["SHORTEST", "Listing", "Place", "listing", "locate"]

SHORTEST: Final = 4
"""Fewest characters of an id that name a container: fewer would rather be a mistake."""


class Listing(Struct, frozen=True, kw_only=True):
    """What the nodes said: their containers, by node, namespace and id, and which node failed and why."""

    containers: list[ContainerInfo]
    failures: dict[str, CommandFailed]


class Place(Struct, frozen=True, kw_only=True):
    """Where a container is, and its full id."""

    node: Node
    namespace: str
    container: str


async def listing(nodes: Sequence[Node], namespaces: Sequence[str | None], filters: Sequence[str] = ()) -> Listing:
    """Ask the nodes, all at the same time, for these namespaces; None stands for all of them."""
    asked = list(product(nodes, namespaces))
    answers = await asyncio.gather(*[_try(node, namespace, filters) for node, namespace in asked])
    found: list[ContainerInfo] = []
    failures: dict[str, CommandFailed] = {}
    for (node, _), answer in zip(asked, answers, strict=True):
        if isinstance(answer, CommandFailed):
            failures[node.name] = answer
        else:
            found += answer
    found.sort(key=lambda one: (one.node, one.namespace, one.id))
    return Listing(containers=found, failures=failures)


async def locate(nodes: Sequence[Node], container: str, namespace: str | None) -> Place:
    """Find the one container that is meant: by id, else by name, else by the beginning of its id."""
    check_identifier(container, "container")
    # The exact id first: with the filter a node with thousands of containers answers with one.
    found = await listing(nodes, [namespace], [f'id=="{container}"'])
    _all_answered(found, container)
    matches = _matching(found.containers, lambda one: one.id == container)
    if not matches:
        found = await listing(nodes, [namespace])
        _all_answered(found, container)
        matches = _matching(found.containers, lambda one: one.name == container)
        if not matches and len(container) >= SHORTEST:
            matches = _matching(found.containers, lambda one: one.id.startswith(container))
    where = f" in namespace {namespace}" if namespace is not None else ""
    match matches:
        case []:
            asked = ", ".join(node.name for node in nodes)
            raise CommandFailed("not_found", f"there is no container {container}{where} on {asked}")
        case [one]:
            node = next(node for node in nodes if node.name == one.node)
            return Place(node=node, namespace=one.namespace, container=one.id)
        case _:
            raise CommandFailed("invalid_argument", _ambiguous(container, matches))


async def _try(node: Node, namespace: str | None, filters: Sequence[str]) -> list[ContainerInfo] | CommandFailed:
    try:
        return await node.list(namespace, filters=filters)
    except CommandFailed as error:
        return error


def _matching(containers: Sequence[ContainerInfo], test: Callable[[ContainerInfo], bool]) -> list[ContainerInfo]:
    return [one for one in containers if test(one)]


def _all_answered(found: Listing, container: str) -> None:
    # A node that does not answer may have it as well: whoever stops something must not stop another one of that name.
    if found.failures:
        name, error = next(iter(found.failures.items()))
        raise CommandFailed(
            error.code,
            f"cannot tell where container {container} is, because {name} did not list its own: {error.message}; "
            "say it with --node and --namespace",
            containerd=error.containerd,
        ) from error


def _ambiguous(container: str, matches: Sequence[ContainerInfo]) -> str:
    if len({one.id for one in matches}) > 1:
        return f"{container} may be any of {', '.join(sorted({one.id for one in matches}))}: give more of its id"
    if len({one.node for one in matches}) == 1:
        namespaces = ", ".join(one.namespace for one in matches)
        return f"container {container} exists in the namespaces {namespaces}: say which with --namespace"
    places = ", ".join(f"{one.node}/{one.namespace}" for one in matches)
    return f"container {container} exists in several places, {places}: say which with --node and --namespace"
