"""The spec of a checkpoint's container, made to fit where it is restored.

Pure. What names the old container by its id names the new one; what the container sees of itself, its host's name first, stays.
What whoever wrote the spec would have CRIU or a device plugin do on the host is left out: only ours is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, Final

from bridge.control.checkpoint_dump import CONFIG
from bridge.model import labels
from bridge.model.naming import NAME_LABELS

__all__ = ["adapted_labels", "adapted_spec", "same_spec", "with_config", "without_config"]

_LEFT_OUT: Final = ("org.criu.", "cdi.k8s.io/")
"""Beginnings of annotations that somebody acts on as root."""


def adapted_spec(spec: Mapping[str, Any], *, old: tuple[str, str], new: tuple[str, str]) -> dict[str, Any]:
    """Return the spec as it is to be under another name; namespace and id, `old` and `new`. Never raises."""
    found: dict[str, Any] = copy.deepcopy(dict(spec))
    linux = found.get("linux")
    if isinstance(linux, dict) and isinstance(path := linux.get("cgroupsPath"), str):
        linux["cgroupsPath"] = _moved(path, old, new)
    annotations = found.get("annotations")
    if isinstance(annotations, dict):
        kept = {key: value for key, value in annotations.items() if not str(key).startswith(_LEFT_OUT)}
        if kept:
            found["annotations"] = kept
        else:
            del found["annotations"]
    return found


def _moved(path: str, old: tuple[str, str], new: tuple[str, str]) -> str:
    """Return where the control group of the new one is: where the old one's was, under the new name."""
    if path == f"/{old[0]}/{old[1]}":
        return f"/{new[0]}/{new[1]}"
    if path.count(":") == 2:  # systemd's: SLICE:PREFIX:NAME
        head, _, name = path.rpartition(":")
        return f"{head}:{new[1]}" if name == old[1] else path if new[1] == old[1] else f"{path}-{new[1]}"
    head, _, name = path.rpartition("/")
    if name == old[1]:
        return f"{head}/{new[1]}"
    # One of its own, in any case: two containers in one control group are ended together.
    return path if new[1] == old[1] or not path else f"{path}-{new[1]}"


def same_spec(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two specs ask the same of their host: all but the control group's name and the annotations is equal."""

    def bare(spec: Mapping[str, Any]) -> dict[str, Any]:
        linux = spec.get("linux")
        own = {key: value for key, value in linux.items() if key != "cgroupsPath"} if isinstance(linux, dict) else linux
        return {**{key: value for key, value in spec.items() if key != "annotations"}, "linux": own}

    return bare(one) == bare(other)


def with_config(spec: Mapping[str, Any], path: str) -> dict[str, Any]:
    """Return the spec with the configuration file by which CRIU is to restore."""
    return {**spec, "annotations": {**(spec.get("annotations") or {}), CONFIG: path}}


def without_config(spec: Mapping[str, Any]) -> dict[str, Any]:
    """Return the spec without one."""
    annotations = {key: value for key, value in (spec.get("annotations") or {}).items() if key != CONFIG}
    bare = {key: value for key, value in spec.items() if key != "annotations"}
    return {**bare, "annotations": annotations} if annotations else bare


def adapted_labels(given: Mapping[str, str], *, same: bool) -> dict[str, str]:
    """Return the labels of a checkpoint's container as they are to be on the new one.

    Ours are left out but for where its stdio goes, and those of others on which somebody acts; the name stays where it is the
    same container, since two cannot have it.
    """
    kept = {}
    for key, value in given.items():
        if key in NAME_LABELS:
            if same:
                kept[key] = value
        elif not key.startswith(labels.OURS) and not key.startswith(labels.OF_OTHERS):
            kept[key] = value
    return kept
