"""What a node lets itself be told: the switches of `serve`, and behind them the rules of its policy.

This is the second line of defence. The first is NATS's own permissions on the subjects; what is refused here would have
been allowed there. The switches are the outer bound: no rule allows what they refuse. Every sentence names the switch or the
rule that would allow it.

What a container is (its labels and its image) is asked of containerd only where a rule depends on it, in the command's own turn.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Awaitable, Callable, Collection, Mapping
from typing import Any, Final

from bridge import trace
from bridge.control.order import Order
from bridge.control.verb import Described, by_containerd_alone
from bridge.errors import CommandFailed
from bridge.model.commands import Group, Restore
from bridge.model.outcomes import Judged
from bridge.policy import (
    NO_RULES,
    Ask,
    Decision,
    Facts,
    Question,
    RuleBook,
    Show,
    anchored,
    asks_of,
    asks_of_checkpoint,
    asks_of_options,
    asks_of_output,
    asks_of_process,
    asks_of_runtime,
    moved,
)
from bridge.policy.switches import SWITCH, Switches
from bridge.ports import ContainerStore

__all__ = ["ASKING", "JudgedOnly", "Permit", "Policy"]

ASKING: Final = frozenset({"create", "run", "start", "restart", "update", "exec", "restore", "receive"})
"""The verbs that await `place.permit` with what they ask of the host before they change anything. That question has the last
word: with its answer they begin, and a dry run of them goes as far as there."""


LATER: Final = frozenset({"restore", "receive"})
"""Those of them which make a container of what they have to look for first: rules about labels and images wait for that."""


class JudgedOnly(Exception):
    """The command was to be judged only, and is allowed: nothing more is to be done."""

    def __init__(self, result: Judged) -> None:
        super().__init__(result.reason)
        self.result = result


class Policy:
    """What this node allows. No `namespaces` means every one; observing is never foreign. `book` may be replaced at any time."""

    def __init__(
        self,
        *,
        groups: Collection[Group],
        foreign: bool = False,
        namespaces: Collection[str] = (),
        book: RuleBook = NO_RULES,
        resolve: Callable[[str], str] = os.path.realpath,
        described: Described = by_containerd_alone,
        show: Show = "redacted",
    ) -> None:
        """Take the switches and the rules.

        Args:
            groups: the command groups that are switched on.
            foreign: whether containers of `moby` and `k8s.io` may be changed.
            namespaces: the only namespaces that may be commanded; none means every one.
            book: the rules.
            resolve: follows the symbolic links of a path of this host.
            described: adds to a container's record what somebody else than containerd knows of it.
            show: `full` where arguments, environment and annotations are told to everybody who may look.
        """
        self._show = show
        self.namespaces = frozenset(namespaces)
        self._switches = Switches(groups=frozenset(groups), foreign=foreign, namespaces=self.namespaces)
        self.book = book
        self._resolve = resolve
        self.described = described
        self.refusals: Counter[str] = Counter()
        """Commands refused since the start, by what decided."""

    def admit(self, order: Order) -> None:
        """Let an order pass as far as can be said without asking anybody, so that a refused one does not wait for its turn.

        Raises:
            CommandFailed: `refused`.
        """
        assert order.kind is not None
        refusal = self._switches.refusal(order.kind, order.subject.namespace)
        if refusal is not None:
            self._enforce(order, Decision(allowed=False, rule=SWITCH, reason=refusal))
        decision = self.judge(order, brought(order))
        if decision is not None:
            self._enforce(order, decision)

    def judge(
        self,
        order: Order,
        facts: Facts | None,
        *,
        spec: Mapping[str, Any] | None = None,
        process: Mapping[str, Any] | None = None,
        own: Mapping[str, Any] | None = None,
        runtime: str = "",
        runtime_options: Mapping[str, Any] | None = None,
        output: str = "",
        existing: bool = False,
        ours: bool = False,
    ) -> Decision | None:
        """Return what the rules decide; None where that depends on `facts`, and they are None. Changes nothing.

        Args:
            order: the command.
            facts: the labels and the image of its container.
            spec: the OCI spec of the container that it would make, or of the one whose task it would make.
            process: the OCI process that it would run.
            own: the process of that container itself, so that becoming root is seen.
            runtime: the runtime that it chooses.
            runtime_options: its options.
            output: where the output of what it starts goes on the host, as its container's label says.
            existing: whether all that is of a container that is there already.
            ours: whether the spec went through `anchor`, so that what leads elsewhere by now was moved.
        """
        assert order.kind is not None
        subject = order.subject
        asks: tuple[Ask, ...] = asks_of_options(order.command) + asks_of_output(output)
        asks += asks_of_runtime(runtime, runtime_options)
        if isinstance(order.command, Restore):
            asks += asks_of_checkpoint(order.command.checkpoint, subject.namespace)
        if spec is not None:
            asks += asks_of(spec, cgroups_path=f"/{subject.namespace}/{subject.container}", existing=existing)
            asks += moved(spec, self._resolve) if ours else ()
        if process is not None:
            asks += asks_of_process(process, own=own)
        question = Question(
            verb=order.kind.verb,
            group=order.kind.group,
            namespace=subject.namespace,
            container=subject.container,
            facts=facts,
            who=order.request.who,
            asks=asks,
            existing=existing,
        )
        decision = self.book.decide(question, self._resolve)
        return decision if decision is None or self._show == "redacted" else decision._replace(show=self._show)

    def anchor(self, spec: Mapping[str, Any]) -> dict[str, Any]:
        """Return a spec that names what the symbolic links in its paths of this host lead to."""
        return anchored(spec, self._resolve)

    def _enforce(self, order: Order, decision: Decision) -> None:
        order.rule = decision.rule
        if not decision.allowed:
            self.refusals[decision.rule] += 1
            raise CommandFailed("refused", decision.reason)


class Permit:
    """The permission of one order, asked for in its turn: before its verb is called, and by one that knows what its spec asks.

    With the last answer the order begins: `begin` is awaited once, right before the command may have an effect.

    A verb that makes or runs something awaits `place.permit(spec=...)` with the final spec before it changes anything.
    """

    def __init__(
        self, policy: Policy, order: Order, containers: ContainerStore, *, begin: Callable[[], Awaitable[None]]
    ) -> None:
        """Take whose it is.

        Args:
            policy: judges.
            order: is judged.
            containers: asked about the container, where a rule depends on what it is.
            begin: awaited once, when nothing is left to be asked; what it raises passes through the verb.
        """
        self._policy = policy
        self._order = order
        self._containers = containers
        self._begin = begin
        self._begun = False
        self._admitted: Decision | None = None

    @property
    def shows_all(self) -> bool:
        """Whether whoever asks may be told what is redacted for others."""
        return self._admitted is not None and self._admitted.show == "full"

    async def admit(self) -> None:
        """Ask with what is known before the verb is called; a verb that finds out later what it makes asks once more anyway.

        Raises:
            CommandFailed: `refused`, or what containerd says where the container cannot be asked about.
        """
        with trace.step("policy"):
            await self._admit()

    async def _admit(self) -> None:
        if self._order.subject.verb in LATER and self._policy.judge(self._order, None) is None:
            self._admitted = Decision(allowed=True, rule="", reason="what it makes is not known yet")
            return
        self._admitted = await self._decide(brought(self._order))

    async def begin(self) -> None:
        """Begin what was admitted, unless its verb asks once more and begins with that answer.

        Raises:
            JudgedOnly: it is allowed, and was to be judged only.
        """
        assert self._admitted is not None
        if self._order.subject.verb not in ASKING:
            await self._pass(self._admitted)

    async def __call__(
        self,
        *,
        spec: Mapping[str, Any] | None = None,
        process: Mapping[str, Any] | None = None,
        own: Mapping[str, Any] | None = None,
        labels: Mapping[str, str] | None = None,
        image: str | None = None,
        runtime: str = "",
        runtime_options: Mapping[str, Any] | None = None,
        output: str = "",
        existing: bool = False,
        ours: bool = False,
        begins: bool = True,
    ) -> None:
        """Ask with everything that is known now; see `Policy.judge`. `labels` and `image` are the container's, made or to be.

        Without `begins` it is a first question, before something that is undone again where the last one says no.

        Raises:
            CommandFailed: `refused`, or what containerd says where the container cannot be asked about.
            JudgedOnly: it is allowed, and was to be judged only: let it pass through.
        """
        facts = brought(self._order) if labels is None and image is None else Facts(labels or {}, image or "")
        decision = await self._decide(
            facts,
            spec=spec,
            process=process,
            own=own,
            runtime=runtime,
            runtime_options=runtime_options,
            output=output,
            existing=existing,
            ours=ours,
        )
        await self._pass(decision, begins=begins)

    async def _decide(self, facts: Facts | None, **asked: Any) -> Decision:
        decision = self._policy.judge(self._order, facts, **asked)
        if decision is None:
            decision = self._policy.judge(self._order, await self._facts(), **asked)
            assert decision is not None
        self._policy._enforce(self._order, decision)  # noqa: SLF001 - one piece in two classes
        return decision

    async def _pass(self, decision: Decision, *, begins: bool = True) -> None:
        if self._order.dry_run:
            raise JudgedOnly(Judged(rule=decision.rule, reason=decision.reason))
        if begins and not self._begun:
            self._begun = True
            await self._begin()

    async def _facts(self) -> Facts:
        """Return what the container is; one that is not there has no labels and no image."""
        namespace, container = self._order.subject.namespace, self._order.subject.container
        if namespace is None or container is None:
            return Facts()
        try:
            found = await self._containers.get(namespace, container)
        except CommandFailed as error:
            if error.code == "not_found":
                return Facts()
            raise
        whole = self._policy.described(found)
        if whole is None:
            raise CommandFailed(
                "unavailable", f"a rule depends on what container {container} is, and its owner does not say: try again"
            )
        return Facts(whole.labels, whole.image)


def brought(order: Order) -> Facts | None:
    """Return what a command itself says of the container that it would make or of the image that it is about; else None."""
    command = order.command
    if command is None or not hasattr(command, "image") or command.verb in LATER:
        return None
    return Facts(getattr(command, "labels", None) or {}, command.image or "")
