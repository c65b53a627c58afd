"""The rules of a node, and how one of them decides.

Rules are looked at from the top, and the first one that is about a command decides: a `deny` refuses it; an `allow` lets it
pass, unless its spec asks for more than the rule's `spec` allows. What no rule is about, `default` decides.

What nobody knows never opens anything: a condition about it does not hold for an `allow`, and holds for a `deny`. A rule that
is about containers (their ids, labels, images) is not about commands for none, such as `list`.
"""

from __future__ import annotations

from collections.abc import Mapping
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Annotated, Final, Literal, NamedTuple, TypeAlias

from msgspec import Meta, Struct

from bridge.model.commands import COMMANDS, Command, Group
from bridge.model.events import Who
from bridge.model.selection import Selection
from bridge.policy.asks import Ask
from bridge.policy.permissions import NOTHING, Permissions, Resolve, as_it_stands

__all__ = ["DEFAULT", "NO_RULES", "Decision", "Effect", "Facts", "Question", "Rule", "RuleBook", "Show"]

Effect: TypeAlias = Literal["allow", "deny"]
Show: TypeAlias = Literal["redacted", "full"]
"""Whether arguments, environment and annotations of containers are told to whoever looks at them."""
Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=4096)]

DEFAULT: Final = "default"
"""Names what decides where no rule does."""

TOLD: Final = 3
"""So many asks a refusal names; whoever wrote them knows the rest."""


class Rule(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One rule. Each list that is given has to hold, and holds when one of its patterns does; what is not given always holds.

    `containers` are ids, `images` are written as people write them, `labels` are `key`, `key=value` or `key!=value`, and `users`
    are `USER` or `ACCOUNT/USER`, as nats-server itself names whoever asks.
    """

    effect: Effect
    name: Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\x00-\x1f\x7f]+(?!\n)$")] | None = None
    namespaces: list[Pattern] = []
    containers: list[Pattern] = []
    labels: list[Pattern] = []
    images: list[Pattern] = []
    verbs: list[Pattern] = []
    groups: list[Group] = []
    users: list[Pattern] = []
    spec: Permissions | None = None
    show: Show = "redacted"


class Facts(NamedTuple):
    """What is known of the container that a command is for, or of the one that it would make."""

    labels: Mapping[str, str] = {}
    image: str = ""


class Question(NamedTuple):
    """A command, as far as rules go. `facts` are None where nobody has asked yet."""

    verb: str
    group: Group
    namespace: str | None = None
    container: str | None = None
    facts: Facts | None = None
    who: Who | None = None
    asks: tuple[Ask, ...] = ()
    existing: bool = False
    """Whether the asks are those of a container that is there already, and not of one that is to be made."""

    @property
    def kind(self) -> type[Command] | None:
        """The verb's struct, where there is one."""
        return COMMANDS.get(self.verb)


class Decision(NamedTuple):
    """What was decided, by which rule, and a sentence that says why.

    `refused` are the asks that it came down to, `show` how much of a container may be told.
    """

    allowed: bool
    rule: str
    reason: str
    refused: tuple[Ask, ...] = ()
    show: Show = "redacted"


class _Unknown(Exception):
    """Which rule decides depends on facts that are not there yet."""


class RuleBook(Struct, frozen=True, kw_only=True, dict=True):
    """The rules in their order, and what holds for what none of them is about."""

    rules: tuple[Rule, ...] = ()
    default: Effect = "deny"
    spec: Permissions = NOTHING
    """What a spec may ask where the default decides."""
    show: Show = "redacted"
    """How much is told of containers there."""
    source: str = ""
    """Where the rules are from, for sentences about them."""

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The rules' names, in their order; by number where one has none."""
        return tuple(rule.name or f"rule {number}" for number, rule in enumerate(self.rules, 1))

    @property
    def asks_who(self) -> bool:
        """Whether a rule depends on who asks."""
        return any(rule.users for rule in self.rules)

    def decide(self, question: Question, resolve: Resolve = as_it_stands) -> Decision | None:
        """Return the decision; None where it depends on facts that the question does not have."""
        try:
            found = next((index for index in range(len(self.rules)) if self._is_about(index, question)), None)
        except _Unknown:
            return None
        if found is None:
            return self._by_default(question, resolve)
        rule, name = self.rules[found], self.names[found]
        if rule.effect == "deny":
            return Decision(
                allowed=False, rule=name, reason=f"{name} of {self.source} denies {question.verb}{_target(question)}"
            )
        return self._if_granted(rule.spec or NOTHING, name, question, resolve)._replace(show=rule.show)

    # -- inside

    def _by_default(self, question: Question, resolve: Resolve) -> Decision:
        if self.default == "deny":
            sentence = f"no rule of {self.source} allows {question.verb}{_target(question)}, and its default is deny"
            return Decision(allowed=False, rule=DEFAULT, reason=sentence)
        return self._if_granted(self.spec, DEFAULT, question, resolve)._replace(show=self.show)

    def _if_granted(self, granted: Permissions, name: str, question: Question, resolve: Resolve) -> Decision:
        verb, target = question.verb, _target(question)
        refused = tuple(ask for ask in question.asks if not granted.allows(ask, resolve, existing=question.existing))
        where = f" of {self.source}" if self.source else ""
        if not refused:
            return Decision(allowed=True, rule=name, reason=f"{name}{where} allows {verb}{target}")
        told = "; ".join(str(ask) for ask in refused[:TOLD])
        more = f"; and {len(refused) - TOLD} things more" if len(refused) > TOLD else ""
        kinds = ", ".join(dict.fromkeys(ask.kind for ask in refused))
        remedy = f"a rule whose spec has {kinds} allows it"
        if not self.source:
            remedy = f"`serve --policy FILE` with {remedy}"
        never = next((ask for ask in refused if not ask.grantable), None)
        if any(ask.kind == "moved" for ask in refused):
            remedy = "put back what was there, or make the container anew"
        elif question.existing or any(ask.inherited for ask in refused):
            remedy += ", and one with `existing` whatever containers ask that are there already"
        elif never is not None:
            remedy = f"leave out what no rule can allow, since it {never}"
        judge = f"{name}{where} does not let" if self.source else "without a policy nothing lets"
        sentence = f"{judge} {verb}{target} ask for this: it {told}{more}: {remedy}"
        return Decision(allowed=False, rule=name, reason=sentence, refused=refused)

    @cached_property
    def _selections(self) -> tuple[Selection | None, ...]:
        return tuple(
            Selection(label=rule.labels, image=rule.images) if rule.labels or rule.images else None
            for rule in self.rules
        )

    def _is_about(self, index: int, question: Question) -> bool:
        """Tell whether a rule is about the command.

        Raises:
            _Unknown: that depends on facts which are not there.
        """
        rule, selection = self.rules[index], self._selections[index]
        about = (
            (not rule.verbs or _matches(question.verb, rule.verbs))
            and (not rule.groups or question.group in rule.groups)
            and (not rule.namespaces or self._is_in(rule, question))
            and (
                not rule.containers
                or (question.container is not None and _matches(question.container, rule.containers))
            )
            and (not rule.users or _is_by(rule, question.who))
        )
        if not about or selection is None:
            return about
        if question.container is None and not _brings_image(question):
            return False
        if question.facts is None:
            raise _Unknown
        return selection.describes(question.facts.labels, None, question.facts.image or None)

    def _is_in(self, rule: Rule, question: Question) -> bool:
        if question.namespace is not None:
            return _matches(question.namespace, rule.namespaces)
        # A command for all namespaces is for those of the rule too.
        kind = question.kind
        every = kind is not None and kind.targets in {"namespace", "any"}
        return every and (rule.effect == "deny" or "*" in rule.namespaces)


NO_RULES: Final = RuleBook(default="allow")
"""Where there is no file: the switches of `serve` decide, and no spec may ask for anything."""


def _matches(text: str, patterns: list[str]) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def _is_by(rule: Rule, who: Who | None) -> bool:
    if who is None:
        return rule.effect == "deny"
    return _matches(who.user, rule.users) or _matches(f"{who.account}/{who.user}", rule.users)


def _brings_image(question: Question) -> bool:
    return question.facts is not None and bool(question.facts.image)


def _target(question: Question) -> str:
    if question.container is not None:
        return f" on container {question.container} in namespace {question.namespace}"
    return "" if question.namespace is None else f" in namespace {question.namespace}"
