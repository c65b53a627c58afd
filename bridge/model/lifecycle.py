"""The lifecycle of a container as one table: in which status each event leaves it.

Everything that depends on a status is derived from this table: the fold's transitions (`bridge.model.fold`), the anomalies
(`bridge.model.anomalies`) and the diagram in docs/lifecycle.md, which `python -m bridge.model.lifecycle` prints and
`--check` compares.

A cell holds the status that follows, or a reason. A reason means: in this status the event cannot be true, so it changes
nothing, unless the details of the state excuse it, as they do a start that arrives after its exit.

The statuses are containerd's words, and two more of ours: `none`, there is a record and no task, and `gone`, the record was
deleted. `unknown` is where everybody begins: no event has told of a task yet. containerd's `pausing` is left out, because no
event tells of it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, Literal, TypeAlias, cast, get_args

__all__ = ["FOLLOWING", "LIFECYCLE", "REASONS", "Reason", "STATUSES", "Status", "contradiction", "document", "mermaid"]

Status: TypeAlias = Literal["unknown", "created", "running", "paused", "stopped", "none", "gone"]
STATUSES: Final[tuple[Status, ...]] = get_args(Status)

Reason: TypeAlias = Literal[
    "second-create", "second-start", "second-exit", "late-exit", "exit-without-task", "other-incarnation"
]
"""Why an event cannot be true. The words are stable: they stand in `Anomaly.reason`."""

REASONS: Final[dict[Reason, str]] = {
    "second-create": "the task was created before",
    "second-start": "the task was started before",
    "second-exit": "the task has ended before",
    "late-exit": "the task has ended before and nobody knew how; this says it",
    "exit-without-task": "there is no task that could end",
    "other-incarnation": "it names another process than the task's own",
}

# fmt: off
LIFECYCLE: Final[dict[str, tuple[Status | Reason, ...]]] = {
    # event     unknown    created    running         paused          stopped         none                 gone
    "create":   ("created", "created", "created",      "created",      "created",      "created",           "created"),
    "restored": ("created", "created", "created",      "created",      "created",      "created",           "created"),
    "start":    ("running", "running", "second-start", "second-start", "second-start", "second-start",      "second-start"),
    "paused":   ("paused",  "paused",  "paused",       "paused",       "stopped",      "none",              "gone"),
    "resumed":  ("running", "running", "running",      "running",      "stopped",      "none",              "gone"),
    "exit":     ("stopped", "stopped", "stopped",      "stopped",      "second-exit",  "exit-without-task", "exit-without-task"),
    "delete":   ("none",    "none",    "none",         "none",         "none",         "none",              "gone"),
    "container-create":
                ("none",    "none",    "none",         "none",         "none",         "none",              "none"),
    "container-delete":
                ("gone",    "gone",    "gone",         "gone",         "gone",         "gone",              "gone"),
    # What happens in a task, or is told of it, leaves it as it is.
    "container-update": STATUSES,
    "oom": STATUSES,
    "exec-added": STATUSES,
    "exec-started": STATUSES,
    "exec-exit": STATUSES,
    "checkpointed": STATUSES,
    "health": STATUSES,
    "command": STATUSES,
    "anomaly": STATUSES,
    "raw": STATUSES,
}
# fmt: on
"""Event word -> what follows, one cell for each of `STATUSES`. Events of nodes have no row: they belong to no container."""


def _following(word: str) -> dict[Status, Status]:
    cells = zip(STATUSES, LIFECYCLE[word], strict=True)
    return {status: status if cell in REASONS else cast("Status", cell) for status, cell in cells}


FOLLOWING: Final[dict[str, dict[Status, Status]]] = {word: _following(word) for word in LIFECYCLE}
"""Event word -> status -> the status that follows."""


def contradiction(word: str, status: Status) -> Reason | None:
    """Return why this event cannot be true in this status, None where it can. The details of a state may excuse it."""
    cell = LIFECYCLE[word][STATUSES.index(status)]
    return cell if cell in REASONS else None


def mermaid() -> str:
    """Return the table as a Mermaid state diagram.

    What leads to one status from everywhere is one arrow out of `anywhere`; what changes nothing is left out.
    """
    arrows: dict[tuple[str, str], list[str]] = {}
    for word, following in FOLLOWING.items():
        for before, after in _moves(following):
            arrows.setdefault((before, after), []).append(word)
    lines = [f"    {before} --> {after} : {', '.join(words)}" for (before, after), words in arrows.items()]
    return "\n".join(["stateDiagram-v2", "    [*] --> unknown", *lines]) + "\n"


def _moves(following: dict[Status, Status]) -> Iterator[tuple[str, Status]]:
    targets = set(following.values())
    if len(targets) == 1:
        yield "anywhere", targets.pop()
        return
    for before, after in following.items():
        if before != after:
            yield before, after


def document() -> str:
    """Return what stands between the markers in docs/lifecycle.md: the diagram, the table, the reasons."""
    rows = [["event", *STATUSES]]
    rows.append(["---"] * len(rows[0]))
    for word, cells in LIFECYCLE.items():
        if cells != STATUSES:
            marked = [f"*{cell}*" if cell in REASONS else cell for cell in cells]
            stays = [" " if cell == status else cell for cell, status in zip(marked, STATUSES, strict=True)]
            rows.append([f"`{word}`", *stays])
    table = "".join(f"| {' | '.join(row)} |\n" for row in rows)
    reasons = "".join(f"- `{reason}`: {sentence}\n" for reason, sentence in REASONS.items())
    return f"```mermaid\n{mermaid()}```\n\n{table}\n{reasons}"


BEGIN: Final = "<!-- printed by: python -m bridge.model.lifecycle -->\n"
END: Final = "<!-- end -->\n"


def main(arguments: Sequence[str]) -> int:
    """Print what belongs between the markers, or with `--check` compare it; return the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m bridge.model.lifecycle", description="Print the lifecycle for docs/lifecycle.md."
    )
    parser.add_argument("--check", action="store_true", help="print nothing; exit 1 if the page says something else")
    parser.add_argument("--page", type=Path, default=Path("docs/lifecycle.md"), help="the page to compare with")
    options = parser.parse_args(arguments)
    page: Path = options.page
    if not options.check:
        sys.stdout.write(document())
        return 0
    if f"{BEGIN}{document()}{END}" in page.read_text("utf-8"):
        return 0
    sys.stderr.write(f"{page} is not up to date; put between its markers what this prints: {parser.prog}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
