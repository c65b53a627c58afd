"""The Grafana dashboard, written from here: `python deploy/grafana/dashboard.py`, and `--check` says whether it is what stands there.

A dashboard's JSON is two thirds of the same thing again. Here each panel is a title, a unit and its expressions. An expression's
`$metric` names are joined with `containerd_bridge_info`, which has the node's name, so that each curve is a node's.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("containerd-bridge.json")
PREFIX = "containerd_bridge_"
SOURCE = {"type": "prometheus", "uid": "${source}"}
INFO = '* on (job, instance) group_left (node) containerd_bridge_info{job=~"$job", node=~"$node"}'

ROWS: list[tuple[str, list[tuple[str, str, str, dict[str, str]]]]] = [
    (
        "Is all well",
        [
            ("Events flow", "bool", "1 while the subscription is proven, NATS is connected, the lease is held and no gap waits.",
             {"{{node}}": "min by (node) ({live} * on (job, instance, node) {nats_connected} * on (job, instance, node) {lease_held}"
              " * on (job, instance, node) {repaired} * on (job, instance, node) {outbox_accepts})"}),
            ("What should stay at zero", "short", "Each is events that are missing or untrue. docs/operations.md, When the log and containerd disagree.",
             {"{{node}} silent divergences": "sum by (node) (increase({silent_divergences_total}[$__range]))",
              "{{node}} lost from the log": "sum by (node) (increase({events_lost_from_log_total}[$__range]))",
              "{{node}} anomalies": "sum by (node) (increase({anomalies_total}[$__range]))"}),
            ("Gaps", "short", "Times without a proven subscription, by cause.",
             {"{{node}} {{cause}}": "sum by (node, cause) (increase({gaps_total}[$__range]))"}),
        ],
    ),
    (
        "Events",
        [
            ("Events recorded", "cps", "", {"{{node}}": "sum by (node) (rate({events_recorded_total}[$__rate_interval]))",
             "{{node}} told from lists": "sum by (node) (rate({events_reconciled_total}[$__rate_interval]))"}),
            ("Events stored", "cps", "", {"{{node}}": "sum by (node) (rate({events_appended_total}[$__rate_interval]))",
             "{{node}} again, after the log went back": "sum by (node) (rate({events_replayed_total}[$__rate_interval]))",
             "{{node}} duplicates refused": "sum by (node) (rate({events_repeated_total}[$__rate_interval]))"}),
            ("Lag: events", "short", "Events that are not in the log yet, and those that are not on disk yet.",
             {"{{node}} not in the log": "{outbox_unacknowledged}", "{{node}} not on disk": "{inbox_waiting}"}),
            ("Lag: age of the oldest", "s", "", {"{{node}}": "{outbox_oldest_seconds}"}),
            ("Append to acknowledgement", "s", "Half of them, and the slowest in a hundred.",
             {"{{node}} p50": "histogram_quantile(0.5, sum by (node, le) (rate({append_seconds_bucket}[$__rate_interval])))",
              "{{node}} p99": "histogram_quantile(0.99, sum by (node, le) (rate({append_seconds_bucket}[$__rate_interval])))"}),
            ("Appends that failed", "cps", "By what was wrong.",
             {"{{node}} {{trouble}}": "sum by (node, trouble) (rate({append_failures_total}[$__rate_interval]))"}),
            ("Probe through containerd", "s", "", {"{{node}}": "{probe_round_trip_seconds}"}),
            ("States behind", "short", "Containers whose key is not up to date, and keys written.",
             {"{{node}}": "{states_behind}",
              "{{node}} written per second": "sum by (node) (rate({states_written_total}[$__rate_interval]))"}),
        ],
    ),
    (
        "Outbox",
        [
            ("Bytes", "bytes", "What waits, what is kept, the file, the limit.",
             {"{{node}} waits": "{outbox_bytes}", "{{node}} kept": "{outbox_kept_bytes}", "{{node}} file": "{outbox_file_bytes}",
              "{{node}} limit": "{outbox_max_bytes}"}),
            ("Rows", "short", "Rows of up to 256 events that are not in the log yet.", {"{{node}}": "{outbox_rows}"}),
            ("Free on its disk", "bytes", "", {"{{node}}": "{outbox_free_disk_bytes}"}),
            ("Time of a commit", "s", "",
             {"{{node}}": "sum by (node) (rate({outbox_commit_seconds_total}[$__rate_interval]))"
              " / sum by (node) (rate({outbox_commits_total}[$__rate_interval]))",
              "{{node}} journal of commands": "sum by (node) (rate({journal_commit_seconds_total}[$__rate_interval]))"
              " / sum by (node) (rate({journal_commits_total}[$__rate_interval]))"}),
        ],
    ),
    (
        "Log and containerd",
        [
            ("Reconciliation", "short", "Containers that never stood still in the last repair, tasks whose shim did not answer.",
             {"{{node}} unsettled": "{containers_unsettled}", "{{node}} unanswered": "{tasks_unanswered}",
              "{{node}} ends unknown": "sum by (node) (increase({ends_unknown_total}[$__range]))",
              "{{node}} lists failed": "sum by (node) (increase({lists_failed_total}[$__range]))"}),
            ("Since the last audit", "s", "", {"{{node}}": "time() - {audited_timestamp_seconds}"}),
        ],
    ),
    (
        "Commands",
        [
            ("By outcome", "cps", "", {"{{outcome}}": "sum by (outcome) (rate({commands_total}[$__rate_interval]))"}),
            ("Time by verb", "s", "From the receipt of a command to its end, on average.",
             {"{{verb}}": "sum by (verb) (rate({command_seconds_total}[$__rate_interval]))"
              " / sum by (verb) (rate({commands_total}[$__rate_interval]))"}),
            ("Refused, by rule", "cps", "", {"{{rule}}": "sum by (rule) (rate({commands_refused_total}[$__rate_interval]))",
             "{{node}} policy is the file's": "{policy_current}"}),
            ("Under way", "short", "",
             {"{{node}}": "{commands_under_way}", "{{node}} jobs held": "{jobs_held}", "{{node}} jobs waiting": "{jobs_waiting}",
              "{{node}} outcomes not told": "{outcomes_behind}", "{{node}} remembered": "{journal_rows}",
              "{{node}} no place in a queue": "sum by (node) (increase({commands_exhausted_total}[$__rate_interval]))"}),
            ("Jobs", "short", "",
             {"{{node}} done": "sum by (node) (increase({jobs_done_total}[$__rate_interval]))",
              "{{node}} put aside": "{jobs_in_quarantine}",
              "{{node}} put aside since its start": "{jobs_quarantined_total}"}),
            ("Migrations", "short", "",
             {"{{node}} leaving": "{migrations_leaving}", "{{node}} arriving": "{migrations_arriving}",
              "{{node}} undecided": "{migrations_undecided}"}),
        ],
    ),
    (
        "Stdio",
        [
            ("Sessions", "short", "", {"{{node}}": "{stdio_sessions}", "{{node}} wait for slow readers": "{stdio_waiting}"}),
            ("Bytes", "Bps", "", {"{{node}} {{line}}": "sum by (node, line) (rate({stdio_bytes_total}[$__rate_interval]))"}),
            ("Spools and truncated outputs", "bytes", "",
             {"{{node}} in spools": "{stdio_spool_bytes}",
              "{{node}} truncated: {{why}}": "sum by (node, why) (increase({stdio_truncated_total}[$__range]))"}),
        ],
    ),
    (
        "Process",
        [
            ("CPU", "percentunit", "", {"{{node}}": "sum by (node) (rate({process_cpu_seconds_total}[$__rate_interval]))"}),
            ("Memory", "bytes", "", {"{{node}}": "{process_resident_memory_bytes}"}),
            ("Open files", "short", "", {"{{node}}": "{process_open_fds}", "{{node}} limit": "{process_max_fds}"}),
            ("Running for", "s", "", {"{{node}}": "time() - {process_start_time_seconds}"}),
        ],
    ),
]  # fmt: skip
"""Row -> its panels: title, unit, what it says, and legend -> expression. `{name}` is a metric."""


def expression(text: str) -> str:
    """Return the expression with each `{name}` as the metric of that name with its node."""

    def metric(found: re.Match[str]) -> str:
        name = found[1] if found[1].startswith("process_") else PREFIX + found[1]
        return f'{name}{{job=~"$job"}}'

    # A rate is taken first and joined with the node afterwards: a metric that is joined has no range.
    spread = re.sub(
        r"((?:rate|increase)\(\{\w+\}\[[^]]+\]\)|\{[a-z_]+\})",
        rf"(\1 {INFO.replace('{', '<').replace('}', '>')})",
        text,
    )
    return re.sub(r"\{([a-z_]+)\}", metric, spread).replace("<", "{").replace(">", "}")


def panels() -> list[dict[str, Any]]:
    """Return rows and panels, each in its place: three in a line of 24 columns."""
    found: list[dict[str, Any]] = []
    y = 0
    for row, inside in ROWS:
        found.append({"type": "row", "title": row, "collapsed": False, "panels": [], "gridPos": place(0, y, 24, 1)})
        y += 1
        for number, (title, unit, says, expressions) in enumerate(inside):
            found.append(
                panel(title, unit, says, expressions) | {"gridPos": place(number % 3 * 8, y + number // 3 * 8, 8, 8)}
            )
        y += (len(inside) + 2) // 3 * 8
    return [each | {"id": number} for number, each in enumerate(found, 1)]


def place(x: int, y: int, w: int, h: int) -> dict[str, int]:
    """Return a place in Grafana's grid."""
    return {"x": x, "y": y, "w": w, "h": h}


def panel(title: str, unit: str, says: str, expressions: dict[str, str]) -> dict[str, Any]:
    """Return curves over time."""
    targets = [
        {
            "refId": chr(ord("A") + number),
            "datasource": SOURCE,
            "expr": expression(text),
            "legendFormat": legend,
            "range": True,
        }
        for number, (legend, text) in enumerate(expressions.items())
    ]
    return {
        "type": "timeseries",
        "title": title,
        "description": says,
        "datasource": SOURCE,
        "targets": targets,
        "fieldConfig": {
            "defaults": {"unit": unit, "custom": {"lineWidth": 1, "fillOpacity": 8, "showPoints": "never"}, "min": 0},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def variable(name: str, query: str) -> dict[str, Any]:
    """Return a variable whose values are asked for."""
    return {
        "type": "query", "name": name, "label": name, "datasource": SOURCE, "refresh": 2, "sort": 1,
        "query": {"query": query, "refId": name}, "definition": query,
        "multi": True, "includeAll": True, "allValue": ".+", "current": {"text": ["All"], "value": ["$__all"]},
    }  # fmt: skip


def dashboard() -> dict[str, Any]:
    """Return the whole of it."""
    return {
        "title": "containerd-bridge",
        "uid": "containerd-bridge",
        "description": "Events of containerd on NATS JetStream: whether they flow, how far they lag, and what commands do.",
        "tags": ["containerd", "nats"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "annotations": {"list": []},
        "links": [],
        "templating": {
            "list": [
                {"type": "datasource", "name": "source", "label": "Prometheus", "query": "prometheus", "current": {}},
                variable("job", "label_values(containerd_bridge_info, job)"),
                variable("node", 'label_values(containerd_bridge_info{job=~"$job"}, node)'),
            ]
        },
        "panels": panels(),
    }


def main() -> int:
    """Write it, or compare it."""
    text = json.dumps(dashboard(), indent=1) + "\n"
    if sys.argv[1:] != ["--check"]:
        FILE.write_text(text)
        return 0
    if FILE.read_text() != text:
        print(f"{FILE.name} is not what {Path(__file__).name} says: run {Path(__file__).name}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
