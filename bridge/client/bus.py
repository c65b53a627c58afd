"""The bus as a consumer sees it: events of the log, and the nodes that take commands."""

from __future__ import annotations

from collections.abc import Sequence

from bridge.client.checkpoint_keys import findings_of_keys
from bridge.client.checkpoints import Checkpoints
from bridge.client.checkup import Finding, findings
from bridge.client.container import Container
from bridge.client.containers import Listing, Place, listing, locate
from bridge.client.following import FollowsLog
from bridge.client.jobs import Jobs
from bridge.client.known import KnownNode, known
from bridge.client.measuring import Meter
from bridge.client.node import Node
from bridge.client.points import Point, read_point
from bridge.client.standing import (
    Doubt,
    NodeStanding,
    doubt_of,
    gaps_around,
    moment_of,
    of_the_last_hour,
    standings,
    unheard,
)
from bridge.client.states import Places, states_at, states_now
from bridge.client.transport import Transport
from bridge.client.troubles import explained
from bridge.client.verification import Rebuilt, Verified, rebuild, verify
from bridge.errors import CommandFailed, ConfigError, LogError
from bridge.model.nodes import NodeRecord
from bridge.model.selection import Names, Selection, names
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import (
    BusFacts,
    BusInspector,
    CommandSender,
    DurableReader,
    EventReader,
    NodePresence,
    NodeRecords,
    RoleAt,
    StateStore,
    StdioClient,
    StoredEvent,
)

__all__ = ["Bus"]


class Bus(FollowsLog):
    """Events out, commands in. Made by `bridge.client.connect`, or over any reader and sender (see `bridge.testing`)."""

    def __init__(
        self,
        reader: EventReader,
        sender: CommandSender,
        subjects: Subjects,
        records: NodeRecords | None = None,
        *,
        states: StateStore | None = None,
        inspector: BusInspector | None = None,
        jobs: Jobs | None = None,
        transport: Transport | None = None,
        stdio: StdioClient | None = None,
        checkpoints: Checkpoints | None = None,
        durable: DurableReader | None = None,
    ) -> None:
        """Take what carries it.

        Args:
            reader: the log.
            sender: the way to the nodes.
            subjects: the subjects of the bus.
            records: the nodes' records; without, only nodes that take commands are known.
            states: the states that are kept beside the log; without, states are only had `at` a point.
            inspector: what looks at the bus itself; without, there is no `checkup`.
            jobs: durable jobs, and how each command stands; without, there is neither.
            transport: what goes beside commands: their progress, archives of images.
            stdio: what carries the output and input of processes; without, there is no `exec` and no `attach`.
            checkpoints: the catalogue of checkpoints; without, there is none.
            durable: the log with places of readers kept beside it; without, there is no `subscribe`.
        """
        self._reader, self._sender = reader, sender
        self._records, self._states, self._durable = records, states, durable
        self._inspector, self._stdio = inspector, stdio
        self.subjects = subjects
        self.jobs = Jobs(subjects) if jobs is None else jobs
        self.transport = transport or Transport(subjects)
        self.checkpoints = checkpoints or Checkpoints()

    async def end(self) -> int:
        """Return the stream's last sequence number: what is sent now has its events behind it."""
        return (await self._reader.extent()).last_sequence

    # -- states

    async def states(
        self,
        *,
        at: Point | None = None,
        node: Names = (),
        namespace: Names = (),
        container: Names = (),
        label: Names = (),
        name: Names = (),
        image: Names = (),
        exit_status: Names = (),
    ) -> list[ContainerState]:
        """Return what every container is, or was at a point of the log, sorted by node, namespace and id; also those gone.

        Without a point it is what the bridges keep beside the log. With one the log is folded, which takes ten to fifteen
        seconds for a million events. A time means what the bridge had read by then, by its own clock (`recordedtime`).
        containerd's own times are no order: shims tell late, and a reconciled event tells of what is long past. The time of
        storing is none either: after an outage of the bus it is hours later, and what ran during an incident is just what
        somebody wants to know. A container is as it was before the first of its events that was read later. A sequence
        number means the log up to and with that event.

        Args:
            at: a time, how long ago, or a stream sequence number; now without.
            node: only on these nodes.
            namespace: only in these containerd namespaces.
            container: only these containers, by id.
            label: only those with this label, then; see `events`.
            name: only those with such a name; see `events`.
            image: only those of such an image; see `events`.
            exit_status: only those whose last task ended like this: `0`, `137`, `!=0`, `unknown`.

        Raises:
            ValueError: an argument makes no sense, or the log does not reach back so far.
            LogUnavailable: the log, or what is kept beside it, does not answer.
            LogRefused: there is no log, or, without `at`, nothing is kept beside it; or reading is not allowed.
        """
        places = Places(nodes=node, namespaces=namespace, containers=container)
        selection = Selection(label=label, name=name, image=image, exit_status=exit_status)
        if at is None:
            found = await states_now(self._kept_states(), places)
        else:
            found = await states_at(self._reader, self._states, self.subjects, at, places)
        return [state for state in found if selection.admits_state(state)]

    async def verify(self, *, node: Names = (), namespace: Names = ()) -> Verified:
        """Fold the log and compare it with the states that are kept beside it.

        Raises:
            LogUnavailable: one of them does not answer.
            LogRefused: one of them is not there, or may not be read.
        """
        return await verify(self._reader, self._kept_states(), self.subjects, nodes=node, namespaces=namespace)

    async def rebuild(self, *, node: Names = (), namespace: Names = ()) -> Rebuilt:
        """Write what the log says wherever something else is kept beside it. Bridges that write meanwhile win.

        Raises:
            LogUnavailable: one of them does not answer; do it again.
            LogRefused: one of them is not there, or may not be read or written.
        """
        return await rebuild(self._reader, self._kept_states(), self.subjects, nodes=node, namespaces=namespace)

    # -- nodes

    async def standings(self, *, node: Names = ()) -> list[NodeStanding]:
        """Return how each node of the log stands, sorted by name: whether its bridge is heard, and as of when it is known.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no log, or reading it is not allowed.
        """
        return await standings(self._reader, self.subjects, await self._reader.extent(), node)

    async def doubts(
        self, at: Point | None = None, *, node: Names = (), states: Sequence[ContainerState] = ()
    ) -> list[Doubt]:
        """Return for which nodes, and why, what `states` gives may be wrong: nobody was following their containerd then.

        Args:
            at: the point; now without.
            node: only these nodes.
            states: what `states` gave. A node of theirs whose bridge has left no sign in the log is in doubt too.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no log, or reading it is not allowed.
        """
        known = await self.standings(node=node)
        found = [doubt for doubt in map(doubt_of, known) if doubt is not None]
        found += unheard({state.node for state in states}, known)
        moment = None if at is None else await moment_of(self._reader, read_point(at))
        if moment is None:
            return found
        gaps = await gaps_around(self._reader, self.subjects, moment, node)
        return [doubt for doubt in found if doubt.covers(moment)] + gaps

    async def checkup(self, role: RoleAt | None = None) -> list[Finding]:
        """Look at everything that a bridge and its readers need of the bus, and say what is in order and what is not."""
        if self._inspector is None:
            raise ConfigError("this bus has no inspector: make it with bridge.client.connect")
        facts = await self._inspector.inspect(role)
        nodes: list[NodeStanding] | str = []
        records: list[NodeRecord] = []
        lately: list[StoredEvent] = []
        if facts.extent is not None:
            try:
                nodes = await standings(self._reader, self.subjects, facts.extent)
                lately = await of_the_last_hour(self._reader, self.subjects, facts.extent)
                records = [] if self._records is None else list(await self._records.records())
            except LogError as error:
                nodes = nodes or str(error)
        found = [*findings(facts, nodes, records=records, lately=lately), *await self._keys_of(facts)]
        return explained(found)

    async def _keys_of(self, facts: BusFacts) -> list[Finding]:
        if not any(one.holds == "checkpoints" and not one.absent and not one.unknown for one in facts.stores):
            return []
        try:
            return list(findings_of_keys(await self.checkpoints.list(), self.checkpoints.fingerprints()))
        except ConfigError as error:
            return [Finding(level="fail", area="checkpoints", message=str(error))]
        except CommandFailed:
            return []  # who may not read them needs no key

    async def nodes(self, *, wait: float = 0.5) -> Sequence[NodePresence]:
        """Return the nodes that take commands and answer within `wait` seconds, sorted by name."""
        return await self._sender.nodes(wait=wait)

    async def known_nodes(self, *, wait: float = 0.5) -> Sequence[KnownNode]:
        """Return every node that has a bridge, also those that take no commands, sorted by name.

        A bridge that ended without a stop is among them; its record is then not renewed any more.

        Raises:
            LogUnavailable: the records cannot be had at present.
            LogRefused: reading them is not allowed.
        """
        records = [] if self._records is None else await self._records.records()
        return known(await self.nodes(wait=wait), records)

    async def node(self, name: str | None = None) -> Node:
        """Return a node to command: the named one, else the only one there is.

        Raises:
            ValueError: `name` cannot be a node's name.
            CommandFailed: none was named and none answers (`unavailable`), or several do (`invalid_argument`); the sentence
                names them.
        """
        if name is not None:
            return self._node(name)
        nodes = await self._answering()
        if len(nodes) > 1:
            raise CommandFailed(
                "invalid_argument", f"{len(nodes)} nodes answer, {', '.join(node.name for node in nodes)}: name one"
            )
        return nodes[0]

    # -- containers, of several nodes at once

    async def containers(self, *, node: Names = (), namespace: Names = (), filters: Sequence[str] = ()) -> Listing:
        """Return the containers of these nodes, of all that answer unless some are named.

        Args:
            node: names of nodes.
            namespace: containerd namespaces; all of them unless some are named.
            filters: containerd's own, such as `labels.app==web`.

        Raises:
            CommandFailed: no node answers.
        """
        return await listing(await self._choice(node), names(namespace) or [None], filters)

    async def locate(self, container: str, *, node: str | None = None, namespace: str | None = None) -> Place:
        """Find a container by its id, its name or the first digits of its id.

        Where node and namespace are both given they are believed, and nobody is asked.

        Raises:
            ValueError: a name cannot be one.
            CommandFailed: there is none (`not_found`), there are several (`invalid_argument`; the sentence names them), or a
                node that may have it did not answer.
        """
        if node is not None and namespace is not None:
            return Place(node=self._node(node), namespace=namespace, container=container)
        return await locate(await self._choice(node or ()), container, namespace)

    async def container(self, container: str, *, node: str | None = None, namespace: str | None = None) -> Container:
        """Find a container as `locate` does, and return it with everything that can be asked of it, and done to it.

            web = await bus.container("web")
            await web.restart(grace=3)

        Of an event it is found without asking anybody: `bus.container(e.container, node=e.node, namespace=e.namespace)`.

        Raises:
            ValueError: a name cannot be one.
            CommandFailed: as `locate`.
        """
        return Container(self, await self.locate(container, node=node, namespace=namespace))

    def meter(self, *, nodes: Sequence[Node] = (), namespace: Names = (), places: Sequence[Place] = ()) -> Meter:
        """Return what looks again and again at how much containers use: those of `places`, else all that these nodes run.

        Args:
            nodes: whose containers.
            namespace: only those of these namespaces.
            places: only these containers.
        """
        return Meter(nodes, namespaces=names(namespace) or [None], places=places)

    def _node(self, name: str) -> Node:
        return Node(name, self._sender, self.subjects, self.jobs, stdio=self._stdio)

    async def _choice(self, node: Names) -> list[Node]:
        chosen = names(node)
        return [self._node(name) for name in chosen] if chosen else await self._answering()

    async def _answering(self) -> list[Node]:
        present = await self.nodes()
        if not present:
            raise CommandFailed(
                "unavailable",
                "no node on this bus takes commands: switch them on with `containerd-bridge serve --commands`",
            )
        return [self._node(node.node) for node in present]
