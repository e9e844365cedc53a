"""How heavy and how fast the page is: ``PYTHONPATH=tests python tests/bench/page.py URL``, of a daemon that runs.

Weight counts what the browser transfers of the page itself (headers and compressed bodies). The first view is there
when the browser has painted it (First Contentful Paint), the largest part by Largest Contentful Paint.
"""

from __future__ import annotations

import json
import statistics
import sys
from typing import Any

from e2e.browser import ARGUMENTS, Visitor
from playwright.sync_api import sync_playwright

TIMES = 7
_PAINTS = """() => new Promise((resolve) => {
    let largest = 0;
    new PerformanceObserver((list) => { for (const e of list.getEntries()) largest = e.startTime; })
        .observe({type: 'largest-contentful-paint', buffered: true});
    setTimeout(() => resolve({
        first_ms: performance.getEntriesByName('first-contentful-paint')[0].startTime,
        largest_ms: largest,
        requests: performance.getEntriesByType('resource').length,
    }), 1500);
})"""


def main(url: str) -> None:
    rows: list[dict[str, Any]] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(ARGUMENTS))
        for _ in range(TIMES):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            visitor = Visitor(context, url)
            page = visitor.open("/")
            found: dict[str, Any] = page.evaluate(_PAINTS)
            rows.append({**found, "page_bytes": visitor.loaded_bytes, "complaints": visitor.complaints})
            context.close()
        browser.close()
    print(
        json.dumps(
            {
                "first_view_ms": round(statistics.median(row["first_ms"] for row in rows)),
                "largest_part_ms": round(statistics.median(row["largest_ms"] for row in rows)),
                "page_bytes": rows[0]["page_bytes"],
                "requests": rows[0]["requests"],
                "complaints": [text for row in rows for text in row["complaints"]],
            }
        )
    )


if __name__ == "__main__":
    main(sys.argv[1].rstrip("/"))
