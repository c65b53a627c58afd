"""Where an answer may go."""

import pytest

from bridge.jetstream.inboxes import is_inbox


@pytest.mark.parametrize(
    "subject",
    ["_INBOX.a", "_INBOX.op.x7.12", "_INBOX_alice.x", "_R_.hw7.1", "_GR_.a1b2c3.d4e5f6._INBOX.x.1", "_GR_.a.b._R_.x"],
)
def test_inboxes_are_inboxes(subject: str) -> None:
    assert is_inbox(subject)


@pytest.mark.parametrize(
    "subject",
    [
        *(
            "",
            "_INBOX",
            "_INBOX.",
            "_INBOX..a",
            "_INBOX.a.",
            "_INBOX.>",
            "_INBOX.*.a",
            "_INBOX.a b",
            "_INBOX.a\r\nPUB b",
        ),
        *(
            "$KV.containerd-nodes.n1",
            "$JS.API.STREAM.DELETE.CONTAINERD_EVENTS",
            "$SRV.INFO",
            "$SYS.x",
            "inbox.a",
            "x._INBOX.a",
        ),
        *(
            "containerd.events.n1.default.web=2E1.exit",
            "containerd.commands.n1.-.-.version",
            "_GR_.a.b.$KV.x",
            "_GR_.a._INBOX.x",
        ),
    ],
)
def test_everything_else_is_none(subject: str) -> None:
    assert not is_inbox(subject)
