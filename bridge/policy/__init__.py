"""What may be asked of a node: rules in a file, what an OCI spec asks of the host, and which rule decides. Pure.

    book = read_policy(Path("policy.toml"))
    decision = book.decide(Question(verb="create", group="create", namespace="default", container="web.1", asks=asks_of(spec)))

The daemon judges commands with it and the command line explains it; neither knows anything of a rule that the other does not.
"""

from __future__ import annotations

from bridge.policy.asks import Ask
from bridge.policy.book import NO_RULES, Decision, Facts, Question, Rule, RuleBook, Show
from bridge.policy.file import read_policy
from bridge.policy.mounts import anchored, moved
from bridge.policy.options import asks_of_checkpoint, asks_of_hosts, asks_of_labels, asks_of_options, asks_of_output
from bridge.policy.permissions import HostMount, Permissions
from bridge.policy.process import asks_of_process
from bridge.policy.spec import RUNTIME, asks_of, asks_of_runtime

__all__ = [
    "NO_RULES",
    "RUNTIME",
    "Ask",
    "Decision",
    "Facts",
    "HostMount",
    "Permissions",
    "Question",
    "Rule",
    "RuleBook",
    "Show",
    "anchored",
    "asks_of",
    "asks_of_checkpoint",
    "asks_of_hosts",
    "asks_of_labels",
    "asks_of_options",
    "asks_of_output",
    "asks_of_process",
    "asks_of_runtime",
    "moved",
    "read_policy",
]
