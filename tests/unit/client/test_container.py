"""One container: what is asked of it and done to it needs no place any more."""

from __future__ import annotations

import inspect
from contextlib import aclosing

import pytest

from bridge.client import Container, ContainerState, Node, Remarks, Sending, TaskExit, TaskStart
from bridge.errors import CommandFailed
from bridge.model.outcomes import Done, ExitInfo
from tests.unit.cli.recorded import stored
from tests.unit.client.small_bus import SmallReader, SmallSender, bus, containers_at, info, kept

SHOP = [
    stored(TaskStart(container_id="shop", pid=7), "shop", number=1),
    stored(TaskExit(container_id="shop", id="shop", pid=7, exit_status=3), "shop", number=2),
]


async def test_it_is_found_by_its_name_and_commanded_where_it_is() -> None:
    places = containers_at({"n1": [], "n2": [info("web.1", "a.b", name="shop")]})
    sender = SmallSender(
        lambda command, options: ExitInfo(exit_status=0) if command.verb == "stop" else places(command, options),
        nodes=["n1", "n2"],
    )
    container = await bus(sender=sender).container("shop")

    ended = await container.stop(grace=3)

    assert (repr(container), ended.exit_status) == ("Container(n2/a.b/web.1)", 0)
    last = sender.asked[-1]
    assert last.subject == ("n2", "a.b", "web.1", "stop")
    assert last.options == {"grace": 3}


async def test_one_that_an_event_names_is_asked_for_nowhere() -> None:
    sender = SmallSender(lambda *_: Done(already=False))
    event = SHOP[0]
    assert event.container is not None

    container = await bus(sender=sender).container(event.container, node=event.node, namespace=event.namespace)
    await container.remarking(Remarks(purpose="tidy")).sending(Sending(id="mine")).pause()

    (asked,) = sender.asked
    assert asked.subject == ("n1", "default", "shop", "pause")
    assert (asked.by_default["id"], asked.options["purpose"]) == ("mine", "tidy")


async def test_its_state_and_its_events_are_its_own() -> None:
    store = kept(
        ContainerState(node="n1", namespace="default", container="shop", status="stopped"),
        ContainerState(node="n1", namespace="default", container="other"),
    )
    reader = SmallReader(SHOP)
    shop = await bus(reader, states=store).container("shop", node="n1", namespace="default")

    assert (await shop.state()).status == "stopped"
    async with aclosing(shop.watch()) as states:
        assert (await anext(states)).container == "shop"
    async with aclosing(shop.events(type="exit", follow=False)) as events:
        assert [event.type async for event in events][-1] == TaskExit.type
    assert reader.asked[-1][0] == ["containerd.events.n1.default.shop.exit"]
    async with aclosing(shop.history()) as moments:
        assert [moment.state and moment.state.status async for moment in moments] == ["running", "stopped"]


async def test_one_of_which_nothing_is_known_has_no_state() -> None:
    container = await bus(states=kept()).container("none", node="n1", namespace="default")
    with pytest.raises(CommandFailed, match="nothing is known of container none") as raised:
        await container.state()
    assert raised.value.code == "not_found"


def test_every_command_for_a_container_is_a_method_of_it() -> None:
    of_nodes = {
        name
        for name, method in inspect.getmembers(Node, inspect.iscoroutinefunction)
        if not name.startswith("_") and "container" in inspect.signature(method).parameters
    }
    not_for_one = {"send", "cancel", "check_output"}
    assert of_nodes - not_for_one <= {name for name in dir(Container) if not name.startswith("_")}
    assert Container.stop.__doc__ == Node.stop.__doc__
