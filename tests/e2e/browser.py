"""A real Chromium, headless, and what it complains of."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from conftest import unavailable
from numpy.typing import NDArray
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, Playwright

BORNE = ("net::ERR_NETWORK_CHANGED", "dynamically imported module", "status of 503")
"""What a page complains of where the machine's network or load is to blame: other tests add networks meanwhile, upon
which Chromium gives up what it loads, and a busy daemon says that it is busy. The page bears all of it."""
ARGUMENTS = ("--no-sandbox", "--allow-loopback-in-peer-connection", "--disable-dev-shm-usage")


@contextmanager
def chromium(playwright: Playwright, *, camera: Path | None = None) -> Iterator[Browser]:
    """``camera``: an MJPEG file that the browser's camera shows."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        unavailable("no chromium: apt-get install chromium")
    arguments = [*ARGUMENTS]
    if camera is not None:
        arguments += [
            "--use-fake-device-for-media-stream",
            "--use-fake-ui-for-media-stream",
            f"--use-file-for-fake-video-capture={camera}",
        ]
    browser = playwright.chromium.launch(executable_path=found, args=arguments)
    try:
        yield browser
    finally:
        browser.close()


class Visitor:
    """Somebody at a page; ``complaints`` are errors that the browser would show a developer."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url = url
        self.page: Page = context.new_page()
        self.complaints: list[str] = []
        self.loaded_bytes = 0
        self.page.on("console", lambda message: self._heard(message))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfinished", lambda request: self._count(request))

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        return self.page

    def _heard(self, message: ConsoleMessage) -> None:
        late = "status of 404" in message.text and "/api/v1/snapshots/" in message.location["url"]  # not written yet
        if message.type == "error" and not late and not any(words in message.text for words in BORNE):
            self.complaints.append(message.text)

    def _count(self, request: Any) -> None:
        if "/static/" in request.url or request.url.removeprefix(self.url) in ("/", "/login", "/camera"):
            sizes = request.sizes()
            self.loaded_bytes += sizes["responseBodySize"] + sizes["responseHeadersSize"]


def write_camera(path: Path, picture: NDArray[np.uint8], *, frames: int = 60) -> Path:
    """An MJPEG file in which nothing but a little noise moves."""
    random = np.random.default_rng(1)
    with path.open("wb") as file:
        for _ in range(frames):
            noisy = np.clip(picture + random.normal(0, 2, picture.shape), 0, 255).astype(np.uint8)
            file.write(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    return path


def picture_of(page: Page, selector: str) -> NDArray[np.uint8]:
    """What stands on the screen there, BGR."""
    data = page.locator(selector).first.screenshot()
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), np.uint8)
