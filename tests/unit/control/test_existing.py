"""Starting a container is having what its spec asks: it is judged again, whoever made it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import structs

from bridge.control.policy import Policy
from bridge.model import labels
from bridge.model.commands import GROUPS
from bridge.policy import HostMount, Permissions, Rule, RuleBook
from tests.unit.control.small_runtime import SmallTask
from tests.unit.control.test_dispatch import Asked
from tests.unit.policy.specs import changed

MOUNT = {"destination": "/x", "type": "bind", "source": "/srv/www", "options": ["bind"]}
BOUND = changed("mounts.+", MOUNT)
PRIVILEGED = changed("process.capabilities", {"bounding": ["CAP_SYS_ADMIN"], "effective": ["CAP_SYS_ADMIN"]})


def allowing(**spec: Any) -> RuleBook:
    return RuleBook(rules=(Rule(effect="allow", name="mine", spec=Permissions(**spec)),), source="p.toml")


@pytest.fixture(params=["start", "restart"])
def verb(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def test_what_another_made_privileged_is_not_started_without_a_rule(verb: str) -> None:
    ask = Asked()
    ask.runtime.add(spec=PRIVILEGED)
    word, _, sentence = await ask.failure(verb, id="a-1")
    assert word == "refused"
    assert sentence == (
        f"without a policy nothing lets {verb} on container web.1 in namespace default ask for this: it has the capability "
        "'CAP_SYS_ADMIN': `serve --policy FILE` with a rule whose spec has capabilities allows it, and one with `existing` "
        "whatever containers ask that are there already"
    )
    assert {"create", "start", "kill 15"}.isdisjoint(ask.runtime.calls)
    assert ask.begun == []
    for spec in ({"capabilities": ["CAP_SYS_ADMIN"]}, {"existing": True}):
        ask.policy.book = allowing(**spec)
        assert (await ask(verb, id="a-1")).outcome == "ok"  # what was refused has not used up its id
        ask.runtime.add(spec=PRIVILEGED)
        ask.runtime.made.clear()


async def test_a_running_one_is_not_even_stopped() -> None:
    ask = Asked()
    ask.runtime.add(spec=PRIVILEGED, task=SmallTask("running"))
    assert (await ask("restart")).outcome == "refused"
    assert ask.runtime.status() == "running"


async def test_a_created_task_is_judged_too() -> None:
    ask = Asked()
    ask.runtime.add(spec=PRIVILEGED, task=SmallTask("created"))
    assert (await ask("start")).outcome == "refused"
    assert ask.runtime.status() == "created"


async def test_a_spec_that_nobody_can_read_is_started_by_existing_alone(verb: str) -> None:
    ask = Asked(book=allowing(privileged=True))
    ask.runtime.add()
    record = ask.runtime.records["default", "web.1"]
    ask.runtime.records["default", "web.1"] = structs.replace(record, spec=None)
    assert (await ask(verb)).outcome == "refused"
    ask.policy.book = allowing(existing=True)
    assert (await ask(verb)).outcome == "ok"


@pytest.mark.parametrize(
    ("of_record", "word"),
    [
        ({"runtime": "io.containerd.runc.v2"}, "ok"),
        ({"runtime": "/tmp/shim"}, "refused"),
        ({"runtime_options": {"binary_name": "/tmp/runc"}}, "refused"),
        ({"runtime_options": {"type_url": "of.somebody"}}, "refused"),
    ],
)
async def test_the_runtime_of_the_record_is_judged_as_well(of_record: dict[str, Any], word: str) -> None:
    ask = Asked()
    ask.runtime.add()
    record = ask.runtime.records["default", "web.1"]
    ask.runtime.records["default", "web.1"] = structs.replace(record, **of_record)
    assert (await ask("start")).outcome == word


async def test_where_its_output_goes_is_judged_by_its_label(verb: str) -> None:
    ask = Asked()
    ask.runtime.add(labels={labels.STDIO: "binary:///bin/sh?-c=id"})
    word, _, sentence = await ask.failure(verb)
    assert word == "refused"
    assert "it runs the program '/bin/sh' on the host, as root" in sentence
    assert ask.begun == []
    for spec in ({"log_programs": ["/bin/sh"]}, {"existing": True}):
        ask.policy.book = allowing(**spec)
        assert (await ask(verb)).outcome == "ok"
        ask.runtime.made.clear()


async def test_output_that_goes_to_the_bus_asks_nothing_of_the_host() -> None:
    ask = Asked()
    ask.runtime.add(labels={labels.STDIO: "file:///x"})
    assert (await ask("start", dry_run=True, stdio="bus")).outcome == "ok"
    assert (await ask("start", dry_run=True)).outcome == "refused"


async def test_labels_of_others_are_no_matter_where_they_are_already(verb: str) -> None:
    ask = Asked()
    ask.runtime.add(labels={"nerdctl/state-dir": "/x", "io.cri-containerd.kind": "container"})
    assert (await ask(verb)).outcome == "ok"


@pytest.mark.parametrize("allowed", [{"host_mounts": [HostMount(source="/srv", write=True)]}, {"existing": True}])
async def test_a_link_that_was_put_where_a_mount_was_judged_is_not_followed(verb: str, allowed: dict[str, Any]) -> None:
    ask = Asked()
    links: dict[str, str] = {}
    ask.policy = Policy(groups=GROUPS, book=allowing(**allowed), resolve=lambda path: links.get(path, path))
    ask.dispatcher._policy = ask.policy
    ask.runtime.add(spec=BOUND, labels={labels.COMMAND: "c-1"})
    links["/srv/www"] = "/srv/other"
    word, _, sentence = await ask.failure(verb)
    assert word == "refused"
    assert sentence.endswith(
        "it names '/srv/www' of the host, which leads to '/srv/other' now: put back what was there, or make the container anew"
    )
    links.clear()
    assert (await ask(verb)).outcome == "ok"


async def test_links_of_a_container_that_another_client_made_are_judged_by_what_they_lead_to() -> None:
    ask = Asked()
    links = {"/srv/www": "/data/www"}
    book = allowing(host_mounts=[HostMount(source="/data", write=True)])
    ask.policy = Policy(groups=GROUPS, book=book, resolve=lambda path: links.get(path, path))
    ask.dispatcher._policy = ask.policy
    ask.runtime.add(spec=BOUND)
    assert (await ask("start")).outcome == "ok"
    ask.runtime.made.clear()
    links["/srv/www"] = "/etc"
    assert (await ask("start")).outcome == "refused"
