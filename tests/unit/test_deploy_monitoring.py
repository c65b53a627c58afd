"""deploy/grafana and deploy/prometheus: they ask in PromQL for metrics that are documented, and every alert fires when it should.

That what is documented is what a bridge serves, integration/test_serve_metrics.py shows on a real one.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import promql_parser
import pytest
import yaml

from tests.guards import needs_the_machine
from tests.testbed.promtool import promtool

ROOT: Final = Path(__file__).parents[2]
GRAFANA, PROMETHEUS = ROOT / "deploy" / "grafana", ROOT / "deploy" / "prometheus"
OPERATIONS: Final = (ROOT / "docs" / "operations.md").read_text()
DASHBOARD: Final[dict[str, Any]] = json.loads((GRAFANA / "containerd-bridge.json").read_text())
RULES: Final[list[dict[str, Any]]] = yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"][0]["rules"]

TARGET: Final = {"job", "instance"}
"""Labels that Prometheus puts to whatever it scrapes."""

NOT_SHOWN: Final = {"process_virtual_memory_bytes"}
"""Metrics that are served and are on no panel: what a process has mapped says nothing of what it uses."""


def metrics() -> dict[str, set[str]]:
    """Every metric that docs/operations.md lists, as it is asked for in PromQL, and its labels."""
    table = OPERATIONS.split("\n## Metrics\n")[1].split("\n## ")[0]
    found: dict[str, set[str]] = {"up": set()}
    for row in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE):
        for name, labels in re.findall(r"`(\w+)(?:\{([\w,]+)\})?`", row):
            whole = name if name.startswith("process_") else f"containerd_bridge_{name}"
            for ending in ("", "_total", "_bucket", "_sum", "_count"):
                found[whole + ending] = set(filter(None, labels.split(","))) | (
                    {"le"} if ending == "_bucket" else set()
                )
    for name in ("commands", "command_seconds"):
        found[f"containerd_bridge_{name}_total"] = {"verb", "outcome"} if name == "commands" else {"verb"}
    return found


METRICS: Final = metrics()


def expressions() -> Iterator[tuple[str, str]]:
    """Every expression, with where it stands."""
    for panel in DASHBOARD["panels"]:
        for target in panel.get("targets", []):
            yield f"{panel['title']}, {target['legendFormat']}", target["expr"]
    for rule in RULES:
        yield rule["alert"], rule["expr"]


ASKED: Final = list(expressions())


def selectors(expression: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics of an expression, each with the labels that are asked of it."""
    # What Grafana puts in is a duration of the panel's, or values of a variable.
    plain = expression.replace("$__rate_interval", "5m").replace("$__range", "6h")
    found: list[promql_parser.VectorSelector] = []

    def visit(node: promql_parser.Expr) -> None:
        if isinstance(node, promql_parser.MatrixSelector):
            found.append(node.vector_selector)
        elif isinstance(node, promql_parser.VectorSelector):
            found.append(node)

    promql_parser.walk(promql_parser.parse(plain), visit)
    for selector in found:
        yield selector.name or "", {matcher.name for matcher in selector.matchers.matchers}


@pytest.mark.parametrize(("where", "expression"), ASKED, ids=[where for where, _ in ASKED])
def test_every_expression_is_promql_over_metrics_and_labels_that_there_are(where: str, expression: str) -> None:
    found = list(selectors(expression))
    assert found, where
    for name, labels in found:
        assert name in METRICS, f"{where}: there is no {name}"
        assert labels <= METRICS[name] | TARGET, f"{where}: {name} has no {labels - METRICS[name] - TARGET}"
    known = set().union(*(METRICS[name] for name, _ in found), TARGET)
    for listed in re.findall(r"\bby \(([^)]*)\)", expression):
        assert {label.strip() for label in listed.split(",")} <= known


def test_every_metric_is_on_a_panel() -> None:
    shown = {name for _, expression in ASKED for name, _ in selectors(expression)}
    plain = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in shown}
    served = {re.sub(r"_(total|bucket|sum|count)$", "", name) for name in METRICS}
    assert served - plain == NOT_SHOWN


def test_the_dashboard_is_what_its_program_says() -> None:
    subprocess.run([sys.executable, GRAFANA / "dashboard.py", "--check"], check=True)


def test_the_dashboard_is_one_that_grafana_imports() -> None:
    assert DASHBOARD["schemaVersion"] >= 39  # of Grafana 11
    assert "id" not in DASHBOARD  # the importing Grafana gives it
    ids = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(ids)) == len(ids)
    variables = {each["name"] for each in DASHBOARD["templating"]["list"]}
    assert variables == {"source", "job", "node"}
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells
        for target in panel.get("targets", []):
            assert target["datasource"]["uid"] == "${source}"
            used = set(re.findall(r"\$(\w+)", target["expr"])) - {"__rate_interval", "__range"}
            assert used <= variables


def test_each_alert_leads_to_a_heading_of_the_docs() -> None:
    anchors = {
        re.sub(r"[^\w -]", "", heading.lower()).strip().replace(" ", "-")
        for heading in re.findall(r"^#+ (.+)$", OPERATIONS, re.MULTILINE)
    }
    for rule in RULES:
        page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
        assert page == "docs/operations.md"
        assert anchor in anchors, rule["alert"]


def test_each_alert_fires_and_is_silent_when_it_should() -> None:
    """By Prometheus' own checker; the tests of the rules have both cases of each."""
    told = yaml.safe_load((PROMETHEUS / "alerts_test.yaml").read_text())["tests"]
    cases = [(case["alertname"], bool(case["exp_alerts"])) for test in told for case in test["alert_rule_test"]]
    assert {*cases} == {(rule["alert"], fires) for rule in RULES for fires in (True, False)}
    with needs_the_machine():
        program = promtool()
    for words in (["check", "rules", "--lint-fatal", "alerts.yaml"], ["test", "rules", "alerts_test.yaml"]):
        done = subprocess.run([program, *words], cwd=PROMETHEUS, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
