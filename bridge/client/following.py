"""What a `Bus` hands out as it happens: events of the log, a container's life, the states of containers."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from bridge.client.filters import EventFilter
from bridge.client.history import Moment, life
from bridge.client.points import Point, is_before, read_point, show_point, start_at
from bridge.client.reading import read
from bridge.client.states import Places
from bridge.client.subscription import Acknowledge, Subscription
from bridge.client.watching import watch
from bridge.errors import LogRefused
from bridge.model.nanos import Nanos, now
from bridge.model.selection import Names, Selection
from bridge.model.state import ContainerState
from bridge.model.subjects import Subjects
from bridge.ports import DurableReader, EventReader, StateStore, StoredEvent

__all__ = ["FollowsLog"]


class FollowsLog:
    """The part of `bridge.client.Bus` that follows what happens."""

    subjects: Subjects
    _reader: EventReader
    _states: StateStore | None
    _durable: DurableReader | None

    def events(
        self,
        *,
        node: Names = (),
        namespace: Names = (),
        container: Names = (),
        type: Names = (),  # noqa: A002 - the word of the contract
        label: Names = (),
        name: Names = (),
        image: Names = (),
        exit_status: Names = (),
        since: Point | None = None,
        until: Point | None = None,
        follow: bool | None = None,
        node_events: bool | None = None,
    ) -> AsyncGenerator[StoredEvent, None]:
        """Iterate over events in the log's order: a container's own events in theirs, none missing, none twice.

        Close the iterator when leaving it early (`contextlib.aclosing`); that ends the subscription.

        Args:
            node: only from these nodes.
            namespace: only from these containerd namespaces; what belongs to no namespace comes along.
            container: only of these containers, by id.
            type: only of these types, by the subject's last word (`exit`, `oom`, `gap`, ...); all but heartbeats without.
            label: only of containers with this label: `key`, `key=value` or `key!=value`. This and the next three are as in
                `bridge.model.selection`: events of several values, but each kind of choice has to hold.
            name: only of containers whose name, or id where there is no name, matches this pattern with `*`, `?`, `[...]`.
            image: only of containers whose image matches this pattern, in full or as people write it: `nginx` is any tag.
            exit_status: only ends (`exit`, `exec-exit`, `delete`) with this status: `0`, `137`, `!=0`, `unknown`.
            since: where to begin, this point included. Without, with `follow` at the next event to come, else at the first.
            until: where to end, this point included. A time to come is waited for, unless `follow` is False.
            follow: go on with what comes; None for "unless `until` is given". For ever without `until`; with a sequence number
                until an event at or behind it matched.
            node_events: also events of nodes; None for "unless containers are chosen, in any way, or `type` names one".

        Raises:
            ValueError: an argument makes no sense, or `until` lies before `since`; at the call itself.
            LogUnavailable: the log does not answer.
            LogRefused: there is no log, or reading it is not allowed.
        """
        choice = EventFilter(
            nodes=node,
            namespaces=namespace,
            containers=container,
            words=type,
            selection=Selection(label=label, name=name, image=image, exit_status=exit_status),
            node_events=node_events,
        )
        filters = choice.subjects(self.subjects)
        # In this order: the same duration twice is then no earlier as an end than as a beginning.
        begin = None if since is None else read_point(since)
        end = None if until is None else read_point(until)
        if is_before(end, begin):
            raise ValueError(
                f"until {show_point(until, end)} lies before since {show_point(since, begin)}: nothing can be between them"
            )
        match end:
            case None:
                go_on = follow is not False
            case Nanos():
                go_on = follow is not False and end > now()
            case _:
                go_on = follow is True
        start = start_at(begin, follow=go_on)
        return _admitted(choice, read(self._reader, filters, start, end, follow=go_on))

    def subscribe(
        self,
        under: str,
        /,
        *,
        node: Names = (),
        namespace: Names = (),
        container: Names = (),
        type: Names = (),  # noqa: A002 - the word of the contract
        label: Names = (),
        name: Names = (),
        image: Names = (),
        exit_status: Names = (),
        since: Point | None = None,
        node_events: bool | None = None,
        acknowledge: Acknowledge = "next",
    ) -> Subscription:
        """Read the log under a name of your own: at least once, in order, and on where it was after a restart.

            async for event in bus.subscribe("mailer", type="oom"):
                await send_mail(event)      # acknowledged when the next one is asked for

        The name is a durable consumer of the stream of events, for one reader at a time; it stays until `unsubscribe`. The
        choice of events may change between two readings, and then counts from there on.

        Args:
            under: the name: letters, digits, `_` and `-`, 64 at the most.
            node: only from these nodes; this and the next ones are as in `events`.
            namespace: only from these containerd namespaces.
            container: only of these containers, by id.
            type: only of these types.
            label: only of containers with this label.
            name: only of containers whose name matches this pattern.
            image: only of containers whose image matches this pattern.
            exit_status: only ends with this status.
            since: where a name begins that nobody has used; without, at the next event to come. `1` is the whole log.
            node_events: also events of nodes.
            acknowledge: `next`, or `by-hand`: then only `Subscription.acknowledge` does, and a thousand events at the most
                are handed out without.

        Raises:
            ValueError: an argument makes no sense; at the call itself, or for the name when it opens.
            LogUnavailable: the log does not answer; when it opens, later it is waited for.
            LogRefused: there is no log, or reading it so is not allowed.
        """
        choice = EventFilter(
            nodes=node,
            namespaces=namespace,
            containers=container,
            words=type,
            selection=Selection(label=label, name=name, image=image, exit_status=exit_status),
            node_events=node_events,
        )
        durable, filters = self._demand_durable(), choice.subjects(self.subjects)
        start = start_at(None if since is None else read_point(since), follow=True)
        return Subscription(under, lambda: durable.resume(under, filters, start, choice.admits), acknowledge)

    async def unsubscribe(self, name: str) -> bool:
        """Forget how far a name has come; return whether there was such a one.

        Raises:
            LogUnavailable: the log does not answer.
            LogRefused: there is no log, or that is not allowed.
        """
        return await self._demand_durable().forget(name)

    def history(
        self, container: str, *, node: Names = (), namespace: Names = (), follow: bool = False
    ) -> AsyncGenerator[Moment, None]:
        """Iterate over a container's life in the log: each event and the state after it, also of one that is gone.

        Where the id was used in several places, their events come as they stand in the log. Gaps of its node come along,
        without a state: events of that time may be missing.

        Args:
            container: its full id.
            node: only on these nodes.
            namespace: only in these containerd namespaces.
            follow: go on with what comes, for ever, without a hole or a repetition between what was and what comes.

        Raises:
            ValueError: a name is empty; at the call itself.
            LogUnavailable: the log does not answer.
            LogRefused: there is no log, or reading it is not allowed.
        """
        EventFilter(nodes=node, namespaces=namespace, containers=container)
        return life(self._reader, self.subjects, container, nodes=node, namespaces=namespace, follow=follow)

    def watch(
        self,
        *,
        node: Names = (),
        namespace: Names = (),
        container: Names = (),
        label: Names = (),
        name: Names = (),
        image: Names = (),
    ) -> AsyncGenerator[ContainerState, None]:
        """Iterate over the states of containers: first what each is now, in no order, then each that changes, for ever.

        Of changes that follow each other quickly only the last one may come; that one always does. A container whose record is
        deleted comes with the status `gone`, and one that does not match any more comes once as it is now. It goes on through
        reconnects, and through a bucket of states that is made anew. Close the iterator when leaving it early.

        Args:
            node: only of these nodes.
            namespace: only in these containerd namespaces.
            container: only these containers, by id.
            label: only those with this label; see `events`, also for the next two.
            name: only those with such a name.
            image: only those of such an image.

        Raises:
            ValueError: an argument makes no sense; at the call itself.
            LogUnavailable: what is kept beside the log does not answer, at the beginning.
            LogRefused: nothing is kept beside it, or it may not be read.
        """
        places = Places(nodes=node, namespaces=namespace, containers=container)
        places.events()
        return watch(self._kept_states(), places, Selection(label=label, name=name, image=image))

    def _demand_durable(self) -> DurableReader:
        if self._durable is None:
            raise LogRefused("this bus keeps no place of a reader: make it with bridge.client.connect")
        return self._durable

    def _kept_states(self) -> StateStore:
        if self._states is None:
            raise LogRefused("no states are kept beside this log")
        return self._states


async def _admitted(
    choice: EventFilter, opened: AsyncGenerator[StoredEvent, None]
) -> AsyncGenerator[StoredEvent, None]:
    async with aclosing(opened) as events:
        async for event in events:
            if choice.admits(event):
                yield event
