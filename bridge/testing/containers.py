"""The containers of a containerd in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec import structs

from bridge.errors import CommandFailed
from bridge.model.commands import RuncOptions
from bridge.model.identity import check_identifier
from bridge.model.naming import name_from_labels
from bridge.model.nanos import format_rfc3339, now
from bridge.model.outcomes import ContainerInfo
from bridge.ports import Defaults, NewContainer
from bridge.testing.calls import Calls
from bridge.testing.filters import BadFilter, container_filter
from bridge.testing.images import GC_ROOT
from bridge.testing.task import Refusal

if TYPE_CHECKING:
    from bridge.testing.containerd import MemoryContainerd

__all__ = ["MemoryContainers"]


class MemoryContainers:
    """Implements `bridge.ports.ContainerStore`. Made by `MemoryRuntime`."""

    def __init__(self, containerd: MemoryContainerd, calls: Calls) -> None:
        self._containerd = containerd
        self._calls = calls

    async def list(self, namespace: str | None, filters: Sequence[str] = ()) -> Sequence[ContainerInfo]:
        """Return containers with their tasks; see the port."""

        def found() -> Sequence[ContainerInfo]:
            try:
                matches = container_filter(filters)
                if namespace is not None:
                    check_identifier(namespace, "namespace")
            except BadFilter as error:
                raise Refusal("invalid_argument", f"filters: {error}") from error
            except ValueError as error:
                raise Refusal("invalid_argument", str(error)) from error
            return [
                structs.replace(one.record, spec=None, task=one.task and one.task.info)
                for (where, _), one in sorted(self._containerd.containers.items())
                if namespace in {None, where} and matches(one.record)
            ]

        return await self._calls.call(f"list the containers in {namespace or 'every namespace'}", found)

    async def namespaces(self) -> Sequence[str]:
        """Return the namespaces that have containers; see the port."""
        return await self._calls.call(
            "list the namespaces", lambda: sorted({namespace for namespace, _ in self._containerd.containers})
        )

    async def get(self, namespace: str, container: str) -> ContainerInfo:
        """Return one container's record; see the port."""
        return await self._calls.call(
            f"look at {container} in {namespace}", lambda: self._calls.container(namespace, container).record
        )

    async def create(self, namespace: str, wanted: NewContainer, *, lease: str | None = None) -> None:  # noqa: ARG002
        """Make a record; see the port."""

        def make() -> None:
            try:
                check_identifier(wanted.id, "container id")
            except ValueError as error:
                raise Refusal("invalid_argument", str(error)) from error
            if (namespace, wanted.id) in self._containerd.containers:
                raise Refusal("already_exists", f"container {wanted.id}: already exists")
            moment = now()
            self._containerd.make_record(
                ContainerInfo(
                    namespace=namespace,
                    id=wanted.id,
                    image=wanted.image,
                    name=name_from_labels(wanted.labels),
                    labels=dict(wanted.labels),
                    runtime=wanted.runtime,
                    runtime_options=_given(wanted.runc),
                    snapshotter=wanted.snapshotter,
                    snapshot_key=wanted.snapshot_key,
                    created_at=moment,
                    updated_at=moment,
                    spec=wanted.spec,
                )
            )

        await self._calls.call(f"create {wanted.id} in {namespace}", make)

    async def defaults(self, namespace: str) -> Defaults:
        """Return containerd's own defaults; see the port."""
        return await self._calls.call(
            f"look at namespace {namespace}", lambda: Defaults("io.containerd.runc.v2", "overlayfs")
        )

    async def respec(
        self,
        namespace: str,
        container: str,
        spec: Mapping[str, Any],
        *,
        labels: Mapping[str, str] = MappingProxyType({}),
        snapshot_key: str | None = None,
    ) -> None:
        """Replace the spec of a container's record; see the port."""
        await self._calls.call(
            f"change the spec of {container} in {namespace}",
            lambda: self._containerd.respec(self._calls.container(namespace, container), spec, labels, snapshot_key),
        )

    async def delete(self, namespace: str, container: str, *, keep_snapshot: bool = False) -> Sequence[str]:
        """Remove the snapshot, unless kept or used by others too, and the record; see the port. There are no bundles."""

        def remove() -> Sequence[str]:
            found = self._calls.container(namespace, container)
            if found.task is not None:
                # containerd itself would leave the task behind, out of reach; so these are not its words.
                status = found.task.info.status
                sentence = (
                    f"cannot delete {container} in {namespace}: it has a task, which is {status}: delete that first"
                )
                raise CommandFailed("failed_precondition", sentence)
            key = (namespace, found.record.snapshot_key)
            others = [
                name
                for (where, name), one in self._containerd.containers.items()
                if where == namespace and name != container and one.record.snapshot_key == key[1]
            ]
            snapshot = None if others and not keep_snapshot else self._containerd.snapshots.pop(key, None)
            if keep_snapshot and snapshot is not None:
                kept = {**snapshot.labels, GC_ROOT: format_rfc3339(now())}
                self._containerd.snapshots[key] = structs.replace(snapshot, labels=kept)
            self._containerd.remove(namespace, container)
            if keep_snapshot or not others:
                return []
            return [f"snapshot {key[1]} stays: container {others[0]} uses it too"]

        return await self._calls.call(f"delete {container} in {namespace}", remove)


def _given(runc: RuncOptions | None) -> dict[str, Any] | None:
    return None if runc is None else {name: value for name, value in structs.asdict(runc).items() if value} or None
