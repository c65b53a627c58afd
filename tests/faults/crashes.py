"""Fault 12: for each changing verb, the places at which the bridge dies over it, and what has to be found afterwards.

`CRASHES` is data: how the world is set up, the command, what counts as its effect, and for every failpoint on its way the words
that its outcome may have. "again" means that nothing stands under its id yet: sent again it is carried out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from bridge.failpoint import FAILPOINTS
from bridge.model import labels
from bridge.model.commands import (
    Command,
    Create,
    Delete,
    Exec,
    Import,
    Kill,
    Pause,
    Pull,
    Restart,
    Resume,
    Rmi,
    Run,
    Start,
    Stop,
    Update,
)
from tests.testbed import BUSYBOX, Ctr

__all__ = ["BUCKET", "CRASHES", "ENDLESS", "IMPORTED", "OBJECT", "OF_CHECKPOINTS", "Crash", "places_of"]

ENDLESS: Final = ("sh", "-c", "trap 'exit 0' TERM; while true; do sleep 0.1; done")
BUCKET, OBJECT, IMPORTED = "archives", "image.tar", "docker.io/test/imported:1"

Names = Callable[[str, str], Command]
"""Makes the command from its id and the name of the registry's image."""


@dataclass(frozen=True, kw_only=True)
class Crash:
    """One verb and the deaths over it.

    `given` makes what the command finds: nothing, or a container in some state. `effect` is containerd's topic of which the
    command may cause one event at the most, beside those that `given` has caused.
    """

    command: Names
    given: Callable[[Ctr, str], None]
    effect: str
    places: Mapping[str, str]
    on_container: bool = True
    beside: int = 0


def nothing(_ctr: Ctr, _name: str) -> None:
    """There is no such container."""


def runs(ctr: Ctr, name: str) -> None:
    ctr.run(name, *ENDLESS)


def runs_on_the_bus(ctr: Ctr, name: str) -> None:
    runs(ctr, name)
    ctr("containers", "label", name, f"{labels.STDIO}={labels.ON_THE_BUS}")


def paused(ctr: Ctr, name: str) -> None:
    runs(ctr, name)
    ctr("tasks", "pause", name)


def only_made(ctr: Ctr, name: str) -> None:
    ctr("containers", "create", BUSYBOX, name, *ENDLESS)


def limited(ctr: Ctr, name: str) -> None:
    ctr.run(name, *ENDLESS, options=("--memory-limit", str(64 << 20)))


def imported(ctr: Ctr, _name: str) -> None:
    ctr("images", "tag", "--force", BUSYBOX, IMPORTED)


def told(before: str, **places: str) -> Mapping[str, str]:
    """Return place -> word for a verb that is started before it is called: `before` from there on to its effect."""
    begun = {"received": "again", "journaled": before, "before-effect": before}
    return begun | {place.replace("_", "-"): word for place, word in places.items()} | dict.fromkeys(AFTER, "ok")


def asked(**places: str) -> Mapping[str, str]:
    """The same for one that asks the policy itself, and is started with the answer: what comes before that is no effect."""
    begun = {"received": "again", "before-effect": "again"}
    return begun | {place.replace("_", "-"): word for place, word in places.items()} | dict.fromkeys(AFTER, "ok")


AFTER: Final = ("after-effect", "before-result", "result-on-disk")

MAKING: Final = {"leased": "again", "snapshot_made": "again", "journaled": "error"}

CRASHES: Final[Mapping[str, Crash]] = {
    "pause": Crash(command=lambda name, _: Pause(id=name), given=runs, effect="/tasks/paused", places=told("unknown")),
    "resume": Crash(
        command=lambda name, _: Resume(id=name), given=paused, effect="/tasks/resumed", places=told("unknown")
    ),
    "stop": Crash(command=lambda name, _: Stop(id=name), given=runs, effect="/tasks/exit", places=told("unknown")),
    "kill": Crash(
        command=lambda name, _: Kill(id=name, signal="SIGKILL"),
        given=runs,
        effect="/tasks/exit",
        places=told("unknown"),
    ),
    "start": Crash(
        command=lambda name, _: Start(id=name),
        given=only_made,
        effect="/tasks/start",
        places=asked(journaled="unknown", task_made="error"),
    ),
    "start with stdio": Crash(
        command=lambda name, _: Start(id=name, stdio="bus", stdin=True),
        given=only_made,
        effect="/tasks/start",
        places=asked(journaled="error", session_made="error", task_made="error", process_started="ok"),
    ),
    "restart": Crash(
        command=lambda name, _: Restart(id=name),
        given=runs,
        effect="/tasks/create",
        beside=1,
        places=asked(journaled="unknown", task_made="error"),
    ),
    "restart with stdio": Crash(
        command=lambda name, _: Restart(id=name),
        given=runs_on_the_bus,
        effect="/tasks/create",
        beside=1,
        places=asked(journaled="error", session_made="error", task_made="error", process_started="ok"),
    ),
    "delete": Crash(
        command=lambda name, _: Delete(id=name, force=True),
        given=runs,
        effect="/containers/delete",
        places=told("unknown"),
    ),
    "update": Crash(
        command=lambda name, _: Update(id=name, memory=128 << 20, memory_swap=-1),
        given=limited,
        effect="/containers/update",
        places=asked(journaled="error", task_updated="error"),
    ),
    "create": Crash(
        command=lambda name, _: Create(id=name, image=BUSYBOX, command=list(ENDLESS)),
        given=nothing,
        effect="/containers/create",
        places=asked(**MAKING, record_made="ok"),
    ),
    "run": Crash(
        command=lambda name, _: Run(id=name, image=BUSYBOX, command=list(ENDLESS)),
        given=nothing,
        effect="/tasks/start",
        places=asked(**MAKING, record_made="error", task_made="error"),
    ),
    "run with stdio": Crash(
        command=lambda name, _: Run(id=name, image=BUSYBOX, command=list(ENDLESS), stdio="bus"),
        given=nothing,
        effect="/tasks/start",
        places=asked(**MAKING, record_made="error", session_made="error", task_made="error", process_started="ok"),
    ),
    "exec": Crash(
        command=lambda name, _: Exec(id=name, args=["sh", "-c", "echo x >> /ran; echo out; exit 3"]),
        given=runs,
        effect="/tasks/exec-started",
        places=asked(
            journaled="error",
            session_made="error",
            exec_made="error",
            process_started="ok",
            process_ended="ok",
            output_stored="ok",
            session_ended="ok",
        ),
    ),
    "pull": Crash(
        command=lambda name, image: Pull(id=name, image=image, plain_http=True),
        given=nothing,
        effect="/images/create",
        places=told("error", leased="error", fetched="ok"),
        on_container=False,
    ),
    "import": Crash(
        command=lambda name, _: Import(id=name, bucket=BUCKET, object=OBJECT, name=IMPORTED),
        given=nothing,
        effect="/images/create",
        places=told("error", leased="error", fetched="ok"),
        on_container=False,
    ),
    "rmi": Crash(
        command=lambda name, _: Rmi(id=name, image=IMPORTED, sync=True),
        given=imported,
        effect="/images/delete",
        places=told("error"),
        on_container=False,
    ),
}
"""Verb -> what is tried of it."""

SHARED: Final = ("received", "journaled", "before-effect", *AFTER)
"""Places that every command comes to."""

WHOLE: Final = ("pause", "exec")
"""Verbs that are tried at every one of these each time."""


def places_of(verb: str, *, every: bool) -> list[str]:
    """Return the places at which a verb is tried: those of its own, and of the shared ones every one, or two.

    The way that all verbs share is the same code; so which of them meets which place of it may change from verb to verb.
    """
    crash, number = CRASHES[verb], list(CRASHES).index(verb)
    half = len(SHARED) // 2
    some = {SHARED[number % half], SHARED[number % half + half]}
    return [
        place
        for place in FAILPOINTS
        if place in crash.places and (every or verb in WHOLE or place not in SHARED or place in some)
    ]


AS_A_JOB: Final = ("job-received", "before-ack")
"""Places that only a job comes to: tried with `pause`."""

IN_A_QUEUE: Final = ("accepted",)
"""And one that only a command comes to that has to wait."""


OF_CHECKPOINTS: Final = ("paused", "dumped", "resumed", "archived", "recorded", "removed", "unpacked", "restored")
"""And those of checkpoints: tried in test_checkpoint_crashes.py."""


def untried() -> set[str]:
    """Return the failpoints that no crash is tried at."""
    tried = {place for verb in CRASHES for place in places_of(verb, every=False)}
    of_migrations = {
        place for place in FAILPOINTS if place.startswith(("migrate-", "receive-"))
    }  # they have their own test
    return set(FAILPOINTS) - tried - set(AS_A_JOB) - set(IN_A_QUEUE) - set(OF_CHECKPOINTS) - of_migrations
