"""What people call a container: the name that its creator left in its labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

__all__ = ["NAME_LABELS", "name_from_labels"]

NAME_LABELS: Final = (
    "nerdctl/name",  # nerdctl (pkg/labels), also what its compose writes
    "io.kubernetes.container.name",  # the kubelet, through CRI (kubelet/types/labels.go)
    "io.kubernetes.pod.name",  # the same; alone on a pod's sandbox
)
"""Labels that hold a name, the most telling first. containerd itself has none, and dockerd keeps its names to itself."""


def name_from_labels(labels: Mapping[str, str]) -> str | None:
    """Return the container's name, None where no label tells one."""
    return next((name for key in NAME_LABELS if (name := labels.get(key))), None)
