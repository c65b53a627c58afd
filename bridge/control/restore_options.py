"""How CRIU is to restore a container: as it was dumped, and so that the container has a control group of its own.

With the second version of control groups runc before 1.3 does not tell CRIU which that is, so a clone would be in that of the
original, and be paused and killed with it. A CRIU that leaves groups alone restores into its own, where runc has put it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from msgspec import structs

from bridge.checkpoints.finding import mapping, numbers
from bridge.control.verb import Place
from bridge.model.checkpoints import CheckpointOptions
from bridge.ports import NewContainer

__all__ = ["options_of_restore"]

KNOWS_GROUPS: Final = (1, 3)
"""The version of runc that was seen to restore into a new control group of the second version; 1.1 was seen not to."""


async def options_of_restore(
    place: Place, options: CheckpointOptions, dumped: Mapping[str, Any] | None, wanted: NewContainer
) -> CheckpointOptions:
    """Return the options as they are to be.

    Args:
        place: where it is restored.
        options: as it was dumped, and as the command wants it.
        dumped: the spec of the container that was dumped, where that is known.
        wanted: the container as it is to be.
    """
    groups = [mapping(spec, "linux").get("cgroupsPath") for spec in (dumped, wanted.spec)]
    if options.cgroups_mode or groups[0] == groups[1]:
        return options
    host = await place.runtime.checkpoints.host(place.target[0], wanted.runtime)
    if host.cgroup != "v2" or numbers(host.runtime_version) >= KNOWS_GROUPS:
        return options
    return structs.replace(options, cgroups_mode="ignore")
