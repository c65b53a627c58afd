"""Which events are asked for: the filters of `Events.Subscribe`.

A wrong filter does not fail, it looks like a quiet host. So there is one place that writes them, from topics that are
fixed and namespaces that are identifiers, every value between double quotes; and the probe passes the same filters.

The grammar is containerd's (pkg/filters/parser.go): a comma is "and", several filters are "or", a value without quotes
must not begin with `/`. Topic and namespace are compared before anything is decoded, so unknown payloads pass as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from bridge.containerd.probe import PROBE_NAMESPACE, PROBE_TOPIC
from bridge.model.identity import check_identifier

__all__ = ["event_filters"]

_OURS: Final = 'topic~="^/(tasks|containers|images)/"'
_PROBES: Final = f'namespace=="{PROBE_NAMESPACE}",topic=="{PROBE_TOPIC}"'


def event_filters(namespaces: Sequence[str] = ()) -> list[str]:
    """Return the filters for the events of tasks, containers and images, and for probes.

    Args:
        namespaces: whose events; empty for all.

    Raises:
        ValueError: one of `namespaces` is no identifier.
    """
    if not namespaces:
        return [_OURS, _PROBES]
    # Identifiers hold nothing that means something between quotes.
    named = dict.fromkeys(check_identifier(namespace, "namespace") for namespace in namespaces)
    return [f'namespace=="{namespace}",{_OURS}' for namespace in named] + [_PROBES]
