"""Two bridges, a register, two containerds and a network that is against them: every state they can come to together.

The bridges decide with the functions that the real ones decide with; what they decide to do happens here, in every way in which
it can happen. Either bridge dies and comes back at any moment, and what containerd had been told to do goes on without it. A
message is lost, comes late, or comes again and again. A write to the register is refused, or taken and its answer lost, or it is
on its way and comes to pass much later. Somebody has something stored above the entry, which moves the revision on that a write
has to expect. An operator decides what an operator may decide, also while a bridge is stopped between two steps.
"""

from collections import deque
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

from msgspec.structs import replace

from bridge.control.migration.source import AFTER_A_CRASH, SourceAct, SourceView, source_next
from bridge.control.migration.target import SWEPT, Copy, TargetAct, TargetView, target_next
from bridge.model.migrations import DECIDED, TRANSITIONS, End, MigrationState, may_pass

Register = MigrationState | Literal["absent"]
Task = Literal["running", "pausing", "paused", "resuming", "dying", "gone"]
Progress = Literal["promised", "sent"]
Real = Literal["none", "half", "restoring", "running"]

MAY_RUN_HERE = {"running", "pausing", "resuming"}
MAY_RUN_THERE = {"restoring", "running"}
Dump = Literal["none", "exact", "old"]
"""A dump of the container: `exact` while the container has done nothing since."""

SEEN: dict[str, Copy] = {"none": "none", "half": "half", "running": "running"}
"""What a look at the target shows. While containerd is restoring nobody gets an answer."""

DUMPABLE = {"paused"}

ORDER: tuple[Register, ...] = ("absent", "reserved", "offered", "taken", "running", "released")


class World(NamedTuple):
    """All of it at one moment."""

    register: Register = "absent"
    above: int = 0
    """How much is stored above the entry that nobody has written; with the state it is the revision."""
    source_above: int = 0
    target_above: int = 0
    """How much of that each end knows of."""
    late: frozenset[tuple[Register, int, MigrationState]] = frozenset()
    """Writes that are on their way, with the revision that each expects to find."""
    messages: frozenset[str] = frozenset()
    """Everything that was sent: it may come at any time, again, or never."""
    up: bool = True
    source: SourceView | None = SourceView()
    task: Task = "running"
    dumped: Dump = "none"
    target_up: bool = True
    target: TargetView | None = None
    copy: Real = "none"
    copied: Dump = "none"
    """What the copy was made from."""

    def plain(self) -> "World":
        """Return the same without what can have no effect any more: late writes and messages of states that are past."""
        at = ORDER.index(self.register) if self.register in ORDER else len(ORDER)
        late = frozenset(
            write
            for write in self.late
            if ORDER.index(write[0]) > at or (write[0] == self.register and write[1] == self.above)
        )
        knows = self.source is not None and self.source.register == self.register
        there = self.target is not None and self.target.register == self.register
        return self._replace(
            late=late,
            messages=self.messages if at <= ORDER.index("taken") else frozenset(),
            source_above=self.source_above if knows else 0,
            target_above=self.target_above if there else 0,
        )


class Step(NamedTuple):
    """One way on. `good` where nothing fails: what fairness gives in the end to whoever waits for it."""

    name: str
    world: World
    good: bool = True


class Protocol(NamedTuple):
    """How both ends decide; others than the real ones are there to be found out."""

    source: Callable[[SourceView], SourceAct] = source_next
    target: Callable[[TargetView], TargetAct] = target_next
    after_a_crash: SourceView = AFTER_A_CRASH
    loses_register: bool = False
    stored: int = 1
    """How much may be stored above each state of an entry: one is enough to be in the way of every write."""
    reads_what_is_last: bool = False
    """Take what stands above the entry for it: then there is none."""
    expects_the_entry: bool = False
    """Expect the entry's own revision, and not the very last one."""
    looks_once_more: bool = True
    """Whether a target reads the register right before it lets it run."""


def steps(world: World, protocol: Protocol) -> Iterator[Step]:
    """Everything that can happen next."""
    yield from _source(world, protocol)
    yield from _target(world, protocol)
    yield from _messages(world)
    yield from _containerd(world)
    yield from _crashes(world, protocol)
    yield from _register(world, protocol)


# -- the register


def _write(
    world: World, end: End, before: tuple[Register, int], after: MigrationState, known: World, unknown: World
) -> Iterator[Step]:
    """Compare and set. `known` and `unknown` are the writer's state where it hears of its success, and where it hears nothing."""
    state, above = before
    assert may_pass(None if state == "absent" else state, after, end), (state, after, end)
    name = f"{end}: {state} -> {after}"
    if (world.register, world.above) == before:
        yield Step(name, _written(known, after, by=end))
        yield Step(f"{name}, the answer is lost", _written(unknown, after), good=False)
    else:
        yield Step(f"{name}, refused", unknown)
    yield Step(f"{name}, on its way", unknown._replace(late=world.late | {(state, above, after)}), good=False)


def _written(world: World, after: MigrationState, by: End | None = None) -> World:
    known = {} if by is None else {f"{by}_above": 0}
    return world._replace(register=after, above=0, **known)  # type: ignore[arg-type]


def _read(world: World, protocol: Protocol) -> tuple[Register, int]:
    """Return what whoever reads learns: the entry, and the revision that he will expect."""
    if world.above and protocol.reads_what_is_last:
        return "absent", world.above
    return world.register, 0 if protocol.expects_the_entry else world.above


def _register(world: World, protocol: Protocol) -> Iterator[Step]:
    for write in world.late:
        left = world._replace(late=world.late - {write})
        comes = (world.register, world.above) == write[:2]
        yield Step("a late write comes", _written(left, write[2]) if comes else left)
        yield Step("a late write is lost", left)
    if world.above < protocol.stored:
        yield Step("something is stored above the entry", world._replace(above=world.above + 1), good=False)
    for (before, after), ends in TRANSITIONS.items():
        if "operator" not in ends or world.register != before:
            continue
        # Whoever says that a target has failed has made sure that it does not run there; its bridge may only be stopped.
        if before != "taken" or world.copy not in MAY_RUN_THERE:
            yield Step("an operator decides", _written(world, after), good=False)
    if protocol.loses_register:
        yield Step("the register is lost", world._replace(register="absent", above=0, late=frozenset()), good=False)


# -- the source


def _source(world: World, protocol: Protocol) -> Iterator[Step]:
    if not world.up:
        return
    if world.source is not None:
        act = protocol.source(world.source)
        if act == "read":
            register, above = _read(world, protocol)
            view = replace(world.source, register=register, refused=False)
            yield Step("source: reads", world._replace(source=view, source_above=above))
        else:
            yield from _BY_SOURCE[act](world, world.source)
    elif world.register not in DECIDED | {"absent"}:
        yield Step("source: sweeps", world._replace(source=protocol.after_a_crash))


def _source_writes(after: MigrationState) -> Callable[[World, SourceView], Iterator[Step]]:
    told = {"reserved": {"may_have_reserved": True}, "offered": {"may_have_offered": True}}.get(after, {})

    def write(world: World, view: SourceView) -> Iterator[Step]:
        assert view.register is not None
        known = world._replace(source=replace(view, register=after, **told))
        unknown = world._replace(source=replace(view, register=None, **told))
        yield from _write(world, "source", (view.register, world.source_above), after, known, unknown)
        if after == "withdrawn":
            refused = replace(view, register=None, refused=True, task=None)
            yield Step("source: may not withdraw", world._replace(source=refused), good=False)

    return write


def _source_asks(message: str, step: Progress) -> Callable[[World, SourceView], Iterator[Step]]:
    def ask(world: World, view: SourceView) -> Iterator[Step]:
        yield Step(f"source: asks to {message}", world._replace(messages=world.messages | {message}))
        if f"{message}: yes" in world.messages:
            yield Step(f"source: heard yes to {message}", world._replace(source=replace(view, step=step)))
        yield Step(f"source: hears nothing of {message} for too long", _given_up(world, view))

    return ask


def _source_looks(world: World, view: SourceView) -> Iterator[Step]:
    # Nobody gets an answer while containerd is at it.
    if world.task in {"running", "paused", "gone"}:
        yield Step(f"source: sees {world.task}", world._replace(source=replace(view, task=world.task)))


def _source_freezes(world: World, view: SourceView) -> Iterator[Step]:
    if world.task == "running":
        yield Step("source: freezes", world._replace(source=replace(view, task=None), task="pausing"))
    yield Step("source: cannot freeze", _given_up(world, view), good=False)


def _source_dumps(world: World, view: SourceView) -> Iterator[Step]:
    if world.task in DUMPABLE:
        yield Step("source: dumps", world._replace(source=replace(view, step="dumped", task=None), dumped="exact"))
    yield Step("source: cannot dump", _given_up(world, view), good=False)


def _source_waits(world: World, view: SourceView) -> Iterator[Step]:
    yield Step("source: waits", world._replace(source=replace(view, register=None)))
    yield Step("source: gives up waiting", _given_up(world, view))


def _given_up(world: World, view: SourceView) -> World:
    return world._replace(source=replace(view, back=True))


def _source_just(name: str, **known: object) -> Callable[[World, SourceView], Iterator[Step]]:
    """Do what cannot fail for ever: it is done again until it is done."""

    def act(world: World, view: SourceView) -> Iterator[Step]:
        yield Step(f"source: {name}", world._replace(source=replace(view, **known)))

    return act


def _source_lets(name: str, task: Task) -> Callable[[World, SourceView], Iterator[Step]]:
    """Tell containerd, which does it in its own time."""

    def act(world: World, view: SourceView) -> Iterator[Step]:
        yield Step(f"source: {name}", world._replace(source=replace(view, task=None), task=task))

    return act


_BY_SOURCE: dict[SourceAct, Callable[[World, SourceView], Iterator[Step]]] = {
    "look": _source_looks,
    "reserve": _source_writes("reserved"),
    "ask": _source_asks("reserve", "promised"),
    "send": _source_asks("prepare", "sent"),
    "freeze": _source_freezes,
    "dump": _source_dumps,
    "offer": _source_writes("offered"),
    # As `tell`: a hint to read the register, which the target does anyway.
    "hand_over": _source_just("hands over", asked=True, register=None),
    "wait": _source_waits,
    "withdraw": _source_writes("withdrawn"),
    "resume": _source_lets("resumes", "resuming"),
    "remove": _source_lets("removes", "dying"),
    "release": _source_writes("released"),
    "tell": _source_just("tells", told=True),
    "tidy": _source_just("tidies", tidy=True),
    "end": lambda world, _view: iter([Step("source: ends", world._replace(source=None))]),
    "stuck": lambda _world, _view: iter([]),
}


# -- the target


def _target(world: World, protocol: Protocol) -> Iterator[Step]:
    if not world.target_up:
        return
    if world.target is not None:
        act = protocol.target(world.target)
        if act == "read":
            register, above = _read(world, protocol)
            yield Step(
                "target: reads", world._replace(target=replace(world.target, register=register), target_above=above)
            )
        elif act == "restore" and protocol.looks_once_more and world.register != "taken":
            view = replace(world.target, tried=True, ready=False, copy=None, register=None)
            yield Step("target: looks once more, and does not restore", world._replace(target=view))
        else:
            yield from _BY_TARGET[act](world, world.target)
    elif world.register not in DECIDED | {"absent"} or world.copy == "half":
        yield Step("target: sweeps", world._replace(target=SWEPT))


def _target_writes(after: MigrationState) -> Callable[[World, TargetView], Iterator[Step]]:
    def write(world: World, view: TargetView) -> Iterator[Step]:
        assert view.register is not None
        known = world._replace(target=replace(view, register=after))
        unknown = world._replace(target=replace(view, register=None))
        yield from _write(world, "target", (view.register, world.target_above), after, known, unknown)

    return write


def _target_looks(world: World, view: TargetView) -> Iterator[Step]:
    if (copy := SEEN.get(world.copy)) is not None:
        yield Step(f"target: sees {copy}", world._replace(target=replace(view, copy=copy)))


def _target_restores(world: World, view: TargetView) -> Iterator[Step]:
    begun = world._replace(target=replace(view, tried=True, copy=None))
    yield Step("target: restores", begun._replace(copy="restoring", copied=world.dumped))
    yield Step("target: cannot restore", begun, good=False)


def _target_cleans(world: World, view: TargetView) -> Iterator[Step]:
    cleaned = world._replace(copy="none", copied="none")
    yield Step("target: cleans", cleaned._replace(target=replace(view, copy=None, ready=False)))


def _target_just(name: str, **known: object) -> Callable[[World, TargetView], Iterator[Step]]:
    def act(world: World, view: TargetView) -> Iterator[Step]:
        yield Step(f"target: {name}", world._replace(target=replace(view, **known)))

    return act


_BY_TARGET: dict[TargetAct, Callable[[World, TargetView], Iterator[Step]]] = {
    "look": _target_looks,
    "wait": _target_just("waits", register=None),
    "take": _target_writes("taken"),
    "restore": _target_restores,
    "confirm": _target_writes("running"),
    "clean": _target_cleans,
    "fail": _target_writes("failed"),
    "settle": _target_just("settles", settled=True),
    "end": lambda world, _view: iter([Step("target: ends", world._replace(target=None))]),
    "stuck": lambda _world, _view: iter([]),
}


def _messages(world: World) -> Iterator[Step]:
    if not world.target_up:
        return
    for message in world.messages:
        view = world.target
        match message:
            case "reserve" if world.register == "reserved" and world.copy in {"none", "half"}:
                promised = world._replace(target=view or TargetView(), copy="half")
                if view is not None:
                    promised = promised._replace(target=replace(view, copy=None))
                yield Step("target: promises", promised._replace(messages=world.messages | {"reserve: yes"}))
            case "prepare" if world.register == "reserved" and view is not None and not view.tried:
                if world.copy == "half":
                    took = world._replace(target=replace(view, ready=True, register=None))
                    yield Step("target: takes in", took._replace(messages=world.messages | {"prepare: yes"}))


# -- what goes on by itself, and what dies


def _containerd(world: World) -> Iterator[Step]:
    match world.task:
        case "running":
            yield Step(
                "the container goes on", world._replace(dumped=_older(world.dumped), copied=_older(world.copied))
            )
        case "pausing":
            yield Step("it stands still", world._replace(task="paused"))
        case "resuming":
            yield Step("it runs on", world._replace(task="running"))
        case "dying":
            yield Step("it is gone", world._replace(task="gone"))
    if world.copy == "restoring":
        yield Step("the copy runs", world._replace(copy="running"))
        yield Step("the copy does not run", world._replace(copy="half", copied="none"), good=False)


def _older(dump: Dump) -> Dump:
    return "none" if dump == "none" else "old"


def _crashes(world: World, protocol: Protocol) -> Iterator[Step]:
    if world.up:
        # Its journal says whether it had come to the end.
        yield Step(
            "the source dies", world._replace(up=False, source=world.source and protocol.after_a_crash), good=False
        )
    else:
        yield Step("the source comes back", world._replace(up=True))
    if world.target_up:
        dead = world._replace(target_up=False, target=None)
        yield Step("the target dies", dead, good=False)
    else:
        yield Step("the target comes back", world._replace(target_up=True))


# -- what may be, and what has to become of it


def wrong(world: World) -> str:
    """What may never be, in words; empty where all is well."""
    if world.task in MAY_RUN_HERE and world.copy in MAY_RUN_THERE:
        return "two run"
    if world.copy in MAY_RUN_THERE and world.copied != "exact":
        return "the copy lacks what the container has done since the dump"
    if world.task in {"dying", "gone"} and world.copy != "running":
        return "the only one is removed"
    return ""


def over(world: World) -> bool:
    """Whether it has come to an end: one runs, all the rest is cleaned away, and both bridges have nothing to do."""
    idle = world.up and world.target_up and world.source is None and world.target is None and not world.late
    at_source = world.task == "running" and world.copy == "none" and world.register in {"absent", "failed", "withdrawn"}
    at_target = world.task == "gone" and world.copy == "running" and world.register == "released"
    return idle and (at_source or at_target)


class Explored(NamedTuple):
    """Every world there is, and what was found."""

    worlds: dict[World, tuple[World, str] | None]
    """World -> the one before it and what happened then, on the shortest way."""
    violation: str
    lost: list[World]
    """Worlds from which no way leads to an end in which nothing fails."""

    def story(self, world: World) -> list[str]:
        """What happened until then."""
        told: list[str] = []
        at: World | None = world
        while at is not None and (before := self.worlds[at]) is not None:
            told.insert(0, before[1])
            at = before[0]
        return told


def explore(protocol: Protocol = Protocol()) -> Explored:  # noqa: B008 - it is a value
    """Go everywhere; stop at the first thing that may not be."""
    first = World()
    worlds: dict[World, tuple[World, str] | None] = {first: None}
    good: dict[World, list[World]] = {}
    """World -> the ones from which it is reached while nothing fails."""
    queue = deque([first])
    while queue:
        world = queue.popleft()
        for made in steps(world, protocol):
            step = made._replace(world=made.world.plain())
            if step.good:
                good.setdefault(step.world, []).append(world)
            if step.world in worlds:
                continue
            worlds[step.world] = (world, step.name)
            if found := wrong(step.world):
                explored = Explored(worlds, found, [])
                return explored._replace(violation=f"{found}: {'; '.join(explored.story(step.world))}")
            queue.append(step.world)
    ends = deque(world for world in worlds if over(world))
    reaching = set(ends)
    while ends:
        for before in good.get(ends.popleft(), ()):
            if before not in reaching:
                reaching.add(before)
                ends.append(before)
    return Explored(worlds, "", [world for world in worlds if world not in reaching])
