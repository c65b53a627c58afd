"""Which events somebody wants: what can be told from subjects as filters for the server, so that it sends nothing else.

Each choice takes several values, and an event has to match one value of each. Node, namespace, container and type stand in
the subject; labels, names, images and exit statuses are looked for in the events that come (`bridge.model.selection`). Events
of the node itself belong to no container: they come along unless containers were chosen in any way, or whenever one of
their types was.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import product
from typing import Final

from bridge.model.envelope import WORDS
from bridge.model.node_events import NodeEvent, NodeHeartbeat
from bridge.model.selection import ENDINGS, Names, Selection, names
from bridge.model.subjects import Subjects
from bridge.ports import StoredEvent

__all__ = ["EventFilter"]

_OF_NODES: Final = frozenset(word for word, event in WORDS.items() if issubclass(event, NodeEvent))


class EventFilter:
    """A choice of events."""

    def __init__(
        self,
        *,
        nodes: Names = (),
        namespaces: Names = (),
        containers: Names = (),
        words: Names = (),
        selection: Selection | None = None,
        node_events: bool | None = None,
    ) -> None:
        """Take the choice.

        Args:
            nodes: names of nodes.
            namespaces: containerd namespaces.
            containers: container ids.
            words: types of events by the last token of their subject: `exit`, `oom`, `gap`, ...; without any, all but
                heartbeats.
            selection: which containers by label, name, image and exit status. With an exit status only ends can match.
            node_events: whether events of the node itself belong to it; None for "unless containers were chosen".

        Raises:
            ValueError: a word is none, or nothing at all is left; the sentence says which and gives the choices.
        """
        self._nodes = names(nodes)
        self._namespaces = names(namespaces)
        self._containers = names(containers)
        chosen = names(words)
        for word in chosen:
            if word not in WORDS:
                raise ValueError(f"{word!r} is no type of event: choose from {', '.join(WORDS)}")
        for what, given in (("node", self._nodes), ("namespace", self._namespaces), ("container", self._containers)):
            if "" in given:
                raise ValueError(f"an empty name is no {what}: leave it out to have them all")
        self._container_words = [word for word in chosen if not issubclass(WORDS[word], NodeEvent)]
        self._node_words = [word for word in chosen if issubclass(WORDS[word], NodeEvent)]
        self._all_words = not chosen
        self._selection = selection or Selection()
        if self._selection.by_ending:
            self._container_words = [word for word in (self._container_words if chosen else ENDINGS) if word in ENDINGS]
            if not self._container_words:
                raise ValueError(
                    f"an exit status chooses ends, and none of {', '.join(chosen)} is one: choose from {', '.join(ENDINGS)}"
                )
        if node_events is None:
            node_events = not (self._containers or self._selection) or bool(self._node_words)
        self._node_events = node_events and (self._all_words or bool(self._node_words))
        if not self._node_events and not self._all_words and not self._container_words:
            raise ValueError(
                f"only events of nodes were chosen ({', '.join(chosen)}), and node events are switched off"
            )

    def subjects(self, subjects: Subjects) -> list[str]:
        """Return the filters under this root; no two of them overlap, which JetStream would refuse."""
        found: list[str] = []
        if self._all_words or self._container_words:
            places = product(_any(self._nodes), _any(self._namespaces), _any(self._containers))
            for place, word in product(places, _any(self._container_words)):
                found.append(subjects.event_filter(*place, word))
        if self._node_events:
            # All of their types are one filter, which is what NATS can permit a login to have (deploy/nats/README.md).
            words = [] if set(self._node_words) >= _OF_NODES else self._node_words
            found += [subjects.node_filter(node, word) for node, word in product(_any(self._nodes), _any(words))]
        return found

    def admits(self, event: StoredEvent) -> bool:
        """Tell what subjects cannot: the selection, a heartbeat that nobody asked for, and the namespace of an image."""
        recorded = event.recorded
        if isinstance(recorded.data, NodeEvent):
            asked_for = self._node_events and (self._node_words or not isinstance(recorded.data, NodeHeartbeat))
            return bool(asked_for) and recorded.namespace in (None, *(self._namespaces or (recorded.namespace,)))
        if self._selection and not self._selection.admits_event(recorded):
            return False
        return not self._namespaces or recorded.namespace in (None, *self._namespaces)


def _any(given: Iterable[str]) -> list[str | None]:
    return list(given) or [None]
