"""The queries of the alert rules and of the dashboard, and what they ask for."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from streamd.exposition import MALFORMED
from streamd.metrics import SUFFIXES, TABLE

ROOT = Path(__file__).parents[1]
RULES = ROOT / "config" / "prometheus" / "streamd.rules.yml"
RULE_TESTS = ROOT / "config" / "prometheus" / "streamd.rules.test.yml"
DASHBOARD = ROOT / "config" / "grafana" / "streamd.json"
DOCUMENTS = [ROOT / "docs" / "metrics.md", ROOT / "docs" / "alerts.md", ROOT / "docs" / "nobody.md"]

SCRAPED = {"instance", "job", "process"}
"""Labels that a sample gets on its way."""
VARIABLES = {"$instance": ".*", "$camera": ".*", "$__rate_interval": "5m", "$__range": "1h"}


def alerts() -> dict[str, str]:
    """Expressions by the alert's name."""
    groups = yaml.safe_load(RULES.read_text())["groups"]
    return {rule["alert"]: rule["expr"] for group in groups for rule in group["rules"]}


def panels() -> dict[str, list[str]]:
    """Expressions by the panel's title, with Grafana's variables filled in."""
    board = json.loads(DASHBOARD.read_text())
    found = {p["title"]: [_filled(t["expr"]) for t in p.get("targets", [])] for p in board["panels"]}
    found["annotations"] = [_filled(a["expr"]) for a in board["annotations"]["list"]]
    return found


def documented() -> dict[str, list[str]]:
    """Expressions in the tables of the documentation, by the file's name."""
    return {
        path.name: [cell for cell in re.findall(r"\| `([^`|]*streamd_\w+[^`|]*[({=<>][^`|]*)` \|", path.read_text())]
        for path in DOCUMENTS
        if path.exists()
    }


@cache
def every_query() -> dict[str, list[str]]:
    return {name: [query] for name, query in alerts().items()} | panels() | documented()


def _filled(query: str) -> str:
    for name, value in VARIABLES.items():
        query = query.replace(name, value)
    return query


def unknown_words(query: str) -> set[str]:
    """Metrics and labels in a query that streamd does not have."""
    labels_of: dict[str, set[str]] = {MALFORMED: set(), "up": set()}
    for spec in TABLE.values():
        labels_of |= {spec.name + s: {*spec.labels, *({"le"} if s == "_bucket" else ())} for s in SUFFIXES[spec.kind]}
    used = set(re.findall(r"\bstreamd_\w+", query)) | ({"up"} if re.search(r"\bup\{", query) else set())
    wrong = used - labels_of.keys()
    for metric, matchers in re.findall(r"\b(streamd_\w+|up)\{([^}]*)\}", query):
        wrong |= set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers)) - labels_of.get(metric, set()) - SCRAPED
    known = SCRAPED.union(*(labels_of.get(metric, set()) for metric in used))
    for names in re.findall(r"\b(?:by|on|without|ignoring)\s*\(([^)]*)\)", query):
        wrong |= {name.strip() for name in names.split(",")} - known
    return wrong


def words_in_text(text: str) -> set[str]:
    """Of a template such as ``{{camera}}`` or ``{{ $labels.camera }}``: the labels."""
    return set(re.findall(r"\{\{\s*(?:\$labels\.)?(\w+)\s*\}\}", text))


def legends() -> list[tuple[str, str]]:
    """Each query of the dashboard with the text that its series get."""
    board: dict[str, Any] = json.loads(DASHBOARD.read_text())
    return [(t["expr"], t.get("legendFormat", "")) for p in board["panels"] for t in p.get("targets", [])]
