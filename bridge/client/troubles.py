"""The troubles that `doctor` knows by name: what each is, and why it matters. What to do depends on what was found.

A finding that is not in order names its trouble, and programs may rely on the name. The table in docs/doctor.md is made from this
one (`python -m bridge.client.troubles_page`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

from msgspec import structs

from bridge.client.finding import Finding

__all__ = ["TROUBLES", "Trouble", "explained", "unreachable"]


class Trouble(NamedTuple):
    """One of them: `what` it is, `why` it matters, and whether it is seen on the `bus` or on the bridge's `host`."""

    what: str
    why: str
    where: Literal["bus", "host"] = "bus"


TROUBLES: Final[Mapping[str, Trouble]] = {
    # -- the server
    "nats-unreachable": Trouble(
        "No NATS answers at that address",
        "nothing can be read or commanded; bridges keep events on their disks meanwhile",
    ),
    "nats-login": Trouble("NATS refuses the login", "nothing can be read or commanded with it"),
    "jetstream-off": Trouble("The server, or the account, has no JetStream", "there is nowhere to keep the log"),
    "payload-small": Trouble(
        "The server takes only small messages", "no bridge starts: an event may be larger than that"
    ),
    "account-full": Trouble(
        "The account is near the most that it may store", "at the limit streams take no more, and bridges wait"
    ),
    "not-permitted": Trouble("The login may not do something", "commands and readings that need it are refused"),
    "clock-here": Trouble(
        "The clock of this machine is not that of the server",
        "durations like `--since 10m` reach to another time than you mean",
    ),
    # -- the log
    "stream-missing": Trouble("The stream of events is not there, or not for us", "there is no log to read"),
    "stream-weak": Trouble(
        "The stream was changed, or made by hand, and is too weak", "events could be lost or stored twice"
    ),
    "stream-full": Trouble("The stream is full and takes no more", "bridges wait, and their disks fill instead"),
    "kept-for-ever": Trouble("Nothing ever leaves the stream", "one day the disk of NATS is full"),
    "log-silent": Trouble("Nothing is written to the log", "what it tells is of old: bridges write every ten seconds"),
    "log-unreadable": Trouble(
        "The log cannot be read with this login", "neither events nor the state of nodes can be told"
    ),
    "reader-behind": Trouble(
        "A reader of the stream is far behind",
        "it acts on old events, and loses those that expire before it comes to them",
    ),
    # -- nodes
    "node-silent": Trouble("A node is not heard any more", "what is known of its containers is of old"),
    "node-behind": Trouble("A node writes late", "what is told of its containers comes late"),
    "node-disconnected": Trouble(
        "A bridge has lost its containerd", "events of this time may be lost; a gap will say so"
    ),
    "node-stopped": Trouble("A bridge was stopped", "nobody follows that containerd; a gap will say so"),
    "gap-recent": Trouble("A node was not subscribed for a time", "events of that time may be missing from the log"),
    "clock-ahead": Trouble(
        "The clock of a node is ahead of the server's", "times of its events are wrong, and so is `ps --at`"
    ),
    "two-bridges": Trouble(
        "Two bridges take turns with one node's name",
        "each takes the node from the other: gaps, and events of two hosts in one",
    ),
    "version-newer": Trouble(
        "A bridge is newer than this program", "it may write events that are shown here without details"
    ),
    "commands-off": Trouble(
        "A node takes no commands", "it only tells what happens; `run`, `stop` and the others find nobody"
    ),
    # -- what else is kept
    "bucket-unusable": Trouble(
        "A bucket of states is not there, or not for us", "`ps` has to ask every node, and knows less"
    ),
    "store-missing": Trouble("A store of the command side is not there", "the commands that need it fail"),
    "store-weak": Trouble("A store of the command side is too weak", "no bridge takes commands with it"),
    "store-full": Trouble("A store of the command side is full", "what belongs there is refused, or not told any more"),
    "jobs-quarantined": Trouble("Jobs were put aside", "somebody asked for them and got no outcome"),
    "register-weak": Trouble("The register of migrations is too weak", "no bridge starts with it"),
    "register-foreign": Trouble(
        "Somebody else writes to the register of migrations", "it is passed over, and may be an attack"
    ),
    "migration-stuck": Trouble(
        "A container stands still between two nodes", "it runs nowhere until one of them is back"
    ),
    "key-missing": Trouble("A checkpoint's key is not here", "it cannot be read, restored or exported from here"),
    # -- the host of a bridge
    "containerd-missing": Trouble("containerd is not there", "the bridge has nothing to follow", "host"),
    "containerd-denied": Trouble("containerd may not be used", "the bridge cannot connect to it", "host"),
    "containerd-hung": Trouble("containerd does not answer", "nothing can be followed or commanded", "host"),
    "containerd-old": Trouble("containerd is too old", "the bridge is not made for it", "host"),
    "state-dir-unusable": Trouble("The state directory cannot be used", "the bridge does not start", "host"),
    "state-dir-volatile": Trouble(
        "The state directory is in memory", "events that NATS does not have yet go with the host's power", "host"
    ),
    "disk-low": Trouble(
        "The disk of the state directory is nearly full", "below its reserve the bridge takes no events", "host"
    ),
    "outbox-growing": Trouble(
        "The outbox fills up", "at its limit the bridge disconnects from containerd: a gap", "host"
    ),
    "fifo-dir-unusable": Trouble(
        "The directory for FIFOs cannot be used", "no process can have its stdio on the bus", "host"
    ),
    "criu-unusable": Trouble("CRIU is not there, or cannot work", "no checkpoint, restore or live migration", "host"),
    "policy-unusable": Trouble(
        "The policy cannot be read", "the bridge does not start, or goes on with the old rules", "host"
    ),
    "policy-denies-all": Trouble("The policy allows nothing", "commands are switched on, and each is refused", "host"),
    "descriptors-few": Trouble("The bridge may open few files", "processes with stdio take several each", "host"),
    "cgroups-missing": Trouble(
        "There is no control group for memory",
        "no limits, no `stats` of memory, and no event when memory runs out",
        "host",
    ),
    "key-unusable": Trouble("The file of checkpoint keys cannot be used", "the bridge does not start", "host"),
    "name-taken": Trouble(
        "The node's name is held by another host's bridge", "the bridge of this host cannot start", "host"
    ),
}


def unreachable(sentence: str) -> Finding:
    """Return the finding for a bus that could not be opened, by the sentence that says why."""
    login = "refuses our login" in sentence or "nats.creds" in sentence or "nats.nkey" in sentence
    return Finding(level="fail", area="nats", message=sentence, trouble="nats-login" if login else "nats-unreachable")


def explained(found: Iterable[Finding]) -> list[Finding]:
    """Return the findings, each that names its trouble with why that matters."""
    return [structs.replace(one, why=TROUBLES[one.trouble].why) if one.trouble else one for one in found]
