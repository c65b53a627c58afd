"""What a role may send, by its set alone; `tests/integration/test_permissions.py` has real servers hold it to that."""

import pytest

from bridge.jetstream.permissions import Role, permitted
from bridge.model.commands import GROUPS
from bridge.model.subjects import Subjects


@pytest.mark.parametrize("role", ["namespace", "container"])
def test_an_operator_moves_containers_and_receives_none(role: Role) -> None:
    allowed = permitted(role, Subjects(), inbox="_INBOX", groups=GROUPS).publish
    verbs = {subject.rsplit(".", 1)[1] for subject in allowed if subject.startswith("containerd.commands.")}
    assert {"migrate", "migrate-abandon"} < verbs
    assert [subject for subject in allowed if subject.endswith(".receive") or "-migrations" in subject] == []


def test_a_bridge_asks_other_bridges_for_nothing_else() -> None:
    allowed = permitted("node", Subjects(), inbox="_INBOX", node="n1").publish
    assert [subject for subject in allowed if subject.startswith("containerd.commands.")] == [
        "containerd.commands.*.*.*.receive"
    ]


def test_behind_a_leaf_node_keys_are_written_through_the_domain() -> None:
    plain = permitted("node", Subjects(), inbox="_INBOX", node="n1")
    behind = permitted("node", Subjects(), inbox="_INBOX", node="n1", domain="hub")
    assert behind.subscribe == plain.subscribe
    assert "$JS.hub.API.$KV.containerd-nodes.n1" in behind.publish
    assert "$JS.hub.API.STREAM.MSG.GET.KV_containerd-nodes" in behind.publish
    assert "$O.containerd-checkpoints.M.*" in behind.publish
    assert [subject for subject in behind.publish if subject.startswith(("$KV", "$JS.API"))] == []
    assert len(behind.publish) == len(plain.publish)
