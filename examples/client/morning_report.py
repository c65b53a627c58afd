"""What failed since yesterday, as a script that ends: no `await` anywhere.

python -m examples.client.morning_report nats://127.0.0.1:4222 --since 24h
"""

from __future__ import annotations

import argparse
from collections import Counter

from bridge.client import NodeGap, TaskExit, TaskOOM
from bridge.client.sync import Bus, connect


def report(bus: Bus, since: str) -> list[str]:
    """Return the lines of the report."""
    failed: Counter[tuple[str, str]] = Counter()
    gaps = 0
    with bus.events(type=["exit", "oom", "gap"], since=since, follow=False) as events:
        for event in events:
            name = f"{event.node}/{event.container}"
            match event.data:
                case TaskExit(exit_status=None):
                    failed[name, "ended, nobody knows how"] += 1
                case TaskExit(exit_status=status) if status != 0:
                    failed[name, f"ended with {status}"] += 1
                case TaskOOM():
                    failed[name, "ran out of memory"] += 1
                case NodeGap(since=before) if before is not None:
                    gaps += 1
                case _:
                    pass
    lines = [f"{times:4} x {name} {what}" for (name, what), times in failed.most_common()]
    doubts = [f"{doubt.node}: {doubt.reason}" for doubt in bus.doubts()]
    return [*lines, f"{gaps} gaps in what is known", *doubts]


def main() -> None:
    """Read the options, and print the report."""
    parser = argparse.ArgumentParser(description="What failed lately.")
    parser.add_argument("nats", help="URL of NATS")
    parser.add_argument("--since", default="24h")
    options = parser.parse_args()
    with connect(options.nats, name="report") as bus:
        print("\n".join(report(bus, options.since)))


if __name__ == "__main__":
    main()
