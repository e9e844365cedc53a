"""The alert rules, their own tests, and the dashboard, against the metrics that there are."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
import yaml
from brokers import program
from promqueries import (
    DASHBOARD,
    ROOT,
    RULE_TESTS,
    RULES,
    alerts,
    every_query,
    legends,
    panels,
    unknown_words,
    words_in_text,
)

from streamd.exposition import render
from streamd.metrics import TABLE, Metrics


def promtool(*args: str, cwd: Path = ROOT, text: str = "") -> str:
    command = [program("promtool"), *args]
    done = subprocess.run(command, cwd=cwd, input=text, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_the_page_passes_prometheus_own_check() -> None:
    metrics = Metrics()
    for attribute, spec in TABLE.items():
        metric = getattr(metrics, attribute)
        child = metric.labels(*("x" for _ in spec.labels)) if spec.labels else metric
        getattr(child, {"histogram": "observe", "gauge": "set", "counter": "inc"}[spec.kind])(0.1)
    page = render({"worker@0": metrics.snapshot(), "capture@door": metrics.snapshot()}).decode()
    assert all(f"# TYPE {spec.name} {spec.kind}" in page for spec in TABLE.values())
    assert promtool("check", "metrics", text=page) == ""


def test_the_rules_are_valid_and_fire_when_they_should() -> None:
    promtool("check", "rules", str(RULES))
    promtool("check", "config", "prometheus.yml", cwd=RULES.parent)
    promtool("test", "rules", RULE_TESTS.name, cwd=RULES.parent)


def test_every_alert_is_seen_to_fire() -> None:
    tests = RULE_TESTS.read_text()
    assert [name for name in alerts() if name not in tests] == []


def test_a_rule_that_is_broken_is_noticed(tmp_path: Path) -> None:
    (tmp_path / RULES.name).write_text(RULES.read_text().replace("streamd_source_up == 0", "streamd_source_up == 1"))
    tests = yaml.safe_load(RULE_TESTS.read_text())
    tests["tests"] = [test for test in tests["tests"] if "camera that is away" in test["name"]]
    (tmp_path / RULE_TESTS.name).write_text(yaml.safe_dump(tests))
    with pytest.raises(AssertionError, match="StreamdCameraDown"):
        promtool("test", "rules", RULE_TESTS.name, cwd=tmp_path)


def test_every_alert_says_what_to_do() -> None:
    for rule in (rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]):
        assert rule["labels"]["severity"] in ("warning", "critical"), rule["alert"]
        assert rule["annotations"].keys() == {"summary", "action"}, rule["alert"]


def test_the_alerts_are_all_explained() -> None:
    explained = (ROOT / "docs" / "alerts.md").read_text()
    assert [name for name in alerts() if f"`{name}`" not in explained] == []


@pytest.mark.parametrize("name", every_query())
def test_queries_name_only_what_there_is(name: str) -> None:
    for query in every_query()[name]:
        assert unknown_words(query) == set(), query


def test_a_query_for_what_there_is_not_is_noticed() -> None:
    assert unknown_words("sum by (camera) (streamd_framez_total)") == {"streamd_framez_total", "camera"}
    assert unknown_words('streamd_source_up{kamera="door"}') == {"kamera"}
    assert unknown_words("sum by (reason) (streamd_tracks)") == {"reason"}


def test_what_series_are_called_are_labels_that_they_have() -> None:
    for query, legend in legends():
        assert all(
            word in query or word in ("process", "version", "part", "child", "sink") for word in words_in_text(legend)
        )


def test_every_query_can_be_parsed(tmp_path: Path) -> None:
    queries = [query for queries in every_query().values() for query in queries]
    rules = [{"record": f"streamd:q{n}", "expr": query} for n, query in enumerate(queries)]
    path = tmp_path / "queries.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "all", "rules": rules}]}))
    promtool("check", "rules", str(path))


def test_the_dashboard_answers_what_operators_ask() -> None:
    board = json.loads(DASHBOARD.read_text())
    rows = [panel["title"] for panel in board["panels"] if panel["type"] == "row"]
    assert len(rows) == 5
    assert all(queries for title, queries in panels().items() if title not in rows)
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [(p["gridPos"]["x"], p["gridPos"]["y"], p["gridPos"]["w"], p["gridPos"]["h"]) for p in board["panels"]]
    taken = [(column, line) for x, y, w, h in places for column in range(x, x + w) for line in range(y, y + h)]
    assert len(set(taken)) == len(taken)
    assert max(column for column, _ in taken) < 24
