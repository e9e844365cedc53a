"""Pictures of the page for ``docs/page``, from the demonstration: ``python tests/bench/screenshots.py URL FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.parse import quote

from playwright.sync_api import Page, sync_playwright

VIEWS = {
    "live": "/#/",
    "camera": "/#/live/office",
    "events": "/#/events",
    "people": "/#/people",
    "person": f"/#/people/{quote('Barack Obama')}",
    "unknowns": "/#/unknowns",
    "calibration": "/#/calibration",
    "cameras": "/#/cameras",
    "system": "/#/system",
    "log": "/#/log",
    "phone": "/camera",
}
ARGUMENTS = (
    "--no-sandbox",
    "--allow-loopback-in-peer-connection",
    "--use-fake-device-for-media-stream",
    "--use-fake-ui-for-media-stream",
)
SIZES = {"": (1280, 800), "-small": (360, 740)}


def main(url: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=[*ARGUMENTS])
        for theme in ("light", "dark"):
            for suffix, (width, height) in SIZES.items():
                context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=theme)
                page = context.new_page()
                for name, path in VIEWS.items():
                    if not suffix or name in ("live", "events", "people", "unknowns", "phone"):
                        take(page, url + path, folder / f"{name}{suffix}-{theme}.png")
                context.close()
        browser.close()


def take(page: Page, address: str, path: Path) -> None:
    page.goto("about:blank")
    page.goto(address)
    if "/live/" in address:
        page.locator("[data-testid=in-view] img, [data-testid=face]").first.wait_for(timeout=30_000)
        page.wait_for_timeout(500)
    else:
        page.wait_for_timeout(3000)
    page.screenshot(path=path)
    print(path)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
