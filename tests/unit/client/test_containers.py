"""Which container is meant: never a guess where there is a choice."""

from __future__ import annotations

import pytest

from bridge.client import Bus
from bridge.errors import CommandFailed
from bridge.model.events import Failure
from bridge.model.outcomes import Outcome
from tests.unit.client.small_bus import SmallSender, bus, containers_at, info

LONG = "0123456789abcdef" * 4
OTHER = "0123ffff89abcdef" * 4


def having(**nodes: list[object]) -> tuple[Bus, SmallSender]:
    sender = SmallSender(containers_at(nodes), list(nodes))  # type: ignore[arg-type]
    return bus(sender=sender), sender


async def place(client: Bus, container: str, node: str | None = None, namespace: str | None = None) -> tuple[str, ...]:
    found = await client.locate(container, node=node, namespace=namespace)
    return found.node.name, found.namespace, found.container


async def test_the_only_one_is_found_wherever_it_is() -> None:
    client, _ = having(n1=[info("other")], n2=[info("web.1", "a.b")])

    assert await place(client, "web.1") == ("n2", "a.b", "web.1")


async def test_an_id_goes_before_a_name_and_a_name_before_the_beginning_of_an_id() -> None:
    client, _ = having(n1=[info("abcd", "one"), info("x", "two", name="abcd"), info("abcdef", "three")])

    assert await place(client, "abcd") == ("n1", "one", "abcd")

    client, _ = having(n1=[info("x", "two", name="abcd"), info("abcdef", "three")])

    assert await place(client, "abcd") == ("n1", "two", "x")


async def test_the_first_digits_are_enough_where_they_are_of_one() -> None:
    client, _ = having(n1=[info(LONG), info(OTHER)])

    assert await place(client, "01234") == ("n1", "default", LONG)


async def test_the_first_digits_of_several_are_not() -> None:
    client, _ = having(n1=[info(LONG), info(OTHER)])

    with pytest.raises(CommandFailed, match=f"0123 may be any of {LONG}, {OTHER}: give more of its id"):
        await place(client, "0123")


async def test_too_few_digits_are_rather_a_mistake() -> None:
    client, _ = having(n1=[info(LONG)])

    with pytest.raises(CommandFailed, match="there is no container 012 on n1"):
        await place(client, "012")


async def test_several_namespaces_are_named() -> None:
    client, _ = having(n1=[info("web", "a"), info("web", "b")])

    with pytest.raises(CommandFailed, match="exists in the namespaces a, b: say which with --namespace"):
        await place(client, "web")
    assert await place(client, "web", namespace="b") == ("n1", "b", "web")


async def test_several_nodes_are_named() -> None:
    client, _ = having(n1=[info("web")], n2=[info("web")])

    with pytest.raises(CommandFailed, match="several places, n1/default, n2/default: say which with --node"):
        await place(client, "web")
    assert await place(client, "web", node="n2") == ("n2", "default", "web")


async def test_what_is_not_there_is_said_to_be_nowhere() -> None:
    client, _ = having(n1=[], n2=[])

    with pytest.raises(CommandFailed, match="there is no container web in namespace a on n1, n2") as raised:
        await place(client, "web", namespace="a")
    assert raised.value.code == "not_found"


async def test_node_and_namespace_together_are_believed() -> None:
    client, sender = having(n1=[])

    assert await place(client, "web", "n9", "a") == ("n9", "a", "web")
    assert sender.asked == []


async def test_a_node_that_does_not_tell_may_have_it_too() -> None:
    refused = Outcome(
        id="1", verb="list", node="n2", outcome="refused", error=Failure(code="refused", message="list is off")
    )
    known = containers_at({"n1": [info("web")]})
    sender = SmallSender(lambda at, options: refused if at.node == "n2" else known(at, options), ["n1", "n2"])

    with pytest.raises(CommandFailed, match="because n2 did not list its own: list is off; say it with --node and"):
        await place(bus(sender=sender), "web")


async def test_the_containers_of_all_nodes_with_the_failures() -> None:
    refused = Outcome(
        id="1", verb="list", node="n2", outcome="refused", error=Failure(code="refused", message="list is off")
    )
    known = containers_at({"n1": [info("b"), info("a")]})
    sender = SmallSender(lambda at, options: refused if at.node == "n2" else known(at, options), ["n1", "n2"])

    found = await bus(sender=sender).containers()

    assert [(one.node, one.id) for one in found.containers] == [("n1", "a"), ("n1", "b")]
    assert {name: error.message for name, error in found.failures.items()} == {"n2": "list is off"}


async def test_the_only_node_need_not_be_named() -> None:
    one, _ = having(n1=[])
    several, _ = having(n1=[], n2=[])
    none, _ = having()

    assert (await one.node()).name == "n1"
    assert (await several.node("n7")).name == "n7"
    with pytest.raises(CommandFailed, match="2 nodes answer, n1, n2: name one"):
        await several.node()
    with pytest.raises(CommandFailed, match="no node on this bus takes commands"):
        await none.node()
