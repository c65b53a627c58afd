"""What to do about a command that failed, where the bus knows it: which container was meant, where it is, which nodes there are.

It is looked for once something has failed, for a moment only, and whatever cannot be found out is not said.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from bridge.cli.near import did_you_mean, near
from bridge.client import Bus, CommandFailed
from bridge.errors import BridgeError
from bridge.model.commands import COMMANDS
from bridge.model.state import ContainerState
from bridge.model.subjects import unquote

__all__ = ["advise"]

PATIENCE_S: Final = 1.0

_CONTAINER: Final = re.compile(r"(?:there is no|of a) container (\S+)|container (\S+) does not exist")
_SUBJECT: Final = re.compile(r"commands on [^.\s]+\.commands\.([^.\s]+)\.[^.\s]+\.[^.\s]+\.([a-z-]+)")

_SILENT: Final = re.compile(r"node (\S+) does not answer")


async def advise(bus: Bus, error: BridgeError) -> None:
    """Put a note to an error that says what to do, where there is something to say."""
    with suppress(BridgeError, TimeoutError, ValueError):
        said = await asyncio.wait_for(_advice(bus, error), PATIENCE_S)
        if said:
            error.add_note(said)


async def _advice(bus: Bus, error: BridgeError) -> str:
    text = str(error)
    if isinstance(error, CommandFailed):
        if error.code == "not_found" and (found := _CONTAINER.search(text)):
            states = [one for one in await bus.states() if one.status != "gone"]
            return _meant((found[1] or found[2]).rstrip(":,;"), states)
        if error.code == "unavailable" and (found := _SUBJECT.search(text)):
            return await _nodes(bus, unquote(found[1]), found[2])
        if found := _SILENT.search(text):
            return await _nodes(bus, found[1], "", named="; these do: " in text)
    return ""


def _meant(container: str, states: Sequence[ContainerState]) -> str:
    same = [one for one in states if container in {one.container, one.name}]
    if same:
        node, namespace = same[0].node, same[0].namespace
        return f"{container} is on node {node}, in namespace {namespace}: add --node {node} --namespace {namespace}."
    by_name = {name: one for one in states for name in (one.container, one.name) if name}
    like = near(container, by_name)
    if like:
        places = [f"{name} (node {by_name[name].node}, {by_name[name].status})" for name in like]
        return f"Did you mean {' or '.join(places)}?"
    return "See which there are: `containerd-bridge ps --all`."


async def _nodes(bus: Bus, node: str, verb: str, *, named: bool = False) -> str:
    """Say what is wrong with a node; `named` says that the error itself names those that there are."""
    known = {one.node: one for one in await bus.known_nodes(wait=0.2)}
    if not known:
        return "No bridge is on this bus: start one (`containerd-bridge serve`), or look at --nats and --root."
    if node not in known:
        if meant := did_you_mean(node, known):
            return f"There is no node {node}: {meant}"
        return "" if named else f"There is no node {node}: there are {', '.join(sorted(known))}."
    command = COMMANDS.get(verb)
    if command is not None and command.group not in known[node].groups:
        takes = f"takes {', '.join(known[node].groups)}" if known[node].groups else "takes no commands"
        return (
            f"Node {node} {takes}: start its bridge with --commands {','.join([*known[node].groups, command.group])}."
        )
    if not known[node].groups:
        return f"Node {node} takes no commands: start its bridge with --commands observe,lifecycle (or more)."
    return f"See how node {node} stands: `containerd-bridge doctor`."
