"""The page in a real browser, on a real daemon that watches a real stream."""

from __future__ import annotations

import json
import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from e2e.browser import Visitor, chromium, picture_of, write_camera
from e2e.conftest import OBAMA, MakeDaemon
from e2e.daemon import Daemon, eventually
from e2e.page_audit import shortcomings
from numpy.typing import NDArray
from playwright.sync_api import Browser, Page, Playwright, Route, expect, sync_playwright
from rtsp_fixtures import RtspServer, placed

from streamd.access import hash_password
from streamd.events import Event, EventType, new_id, timestamp
from streamd.journal import Entry, Journal

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(180)]

Picture = NDArray[np.uint8]
MakeVisitor = Callable[[Daemon], Visitor]
PASSWORD = "correct horse"
WAIT_MS = 20_000
MOST_BYTES = 300_000
VIEWS = {
    "": "Live",
    "events": "Events",
    "people": "People",
    "unknowns": "Unknowns",
    "cameras": "Cameras",
    "system": "System",
    "log": "Gallery log",
    "calibration": "How sure is it?",
}
SCRIPT = "<img src=x onerror=alert(1)>"


@pytest.fixture(scope="module")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=WAIT_MS)
    with sync_playwright() as running:
        yield running


@pytest.fixture(scope="module")
def browser(playwright: Playwright) -> Iterator[Browser]:
    with chromium(playwright) as running:
        yield running


@pytest.fixture
def visit(browser: Browser) -> Iterator[MakeVisitor]:
    contexts, visitors = [], []

    def make(daemon: Daemon) -> Visitor:
        contexts.append(browser.new_context(viewport={"width": 1280, "height": 800}))
        contexts[-1].set_default_timeout(WAIT_MS)
        visitors.append(Visitor(contexts[-1], daemon.http))
        return visitors[-1]

    yield make
    print(*(complaint for visitor in visitors for complaint in visitor.complaints), sep="\n")
    for context in contexts:
        context.close()


def test_the_live_view_shows_a_box_at_the_face(
    rtsp: RtspServer, make_daemon: MakeDaemon, visit: MakeVisitor, obama: Picture
) -> None:
    rtsp.show("cam1", obama)
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("face.identified", name=OBAMA)
        visitor = visit(daemon)
        page = visitor.open("/#/live/door")
        expect(page.get_by_test_id("in-view")).to_contain_text(OBAMA, timeout=WAIT_MS)
        page.wait_for_function("() => { const v = document.querySelector('video'); return v && v.currentTime > 1 }")
        eventually(lambda: green_at_face(page, obama), what="a green box at the face")
        eventually(lambda: daemon.metrics().total("streamd_viewers", camera="door") == 1, what="the viewer is counted")
        page.goto(daemon.http + "/#/events")
        eventually(lambda: daemon.metrics().total("streamd_viewers", camera="door") == 0, what="the viewer is gone")
        assert visitor.complaints == []


@pytest.mark.parametrize("module", ["app.js", "views/camera.js", "faceboxes.js"])
def test_what_did_not_come_of_the_page_is_fetched_again(
    make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path, module: str
) -> None:
    """As when the network changes while the page is loading."""
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        visitor, asked = visit(daemon), []

        def fail_once(route: Route) -> None:
            asked.append(route)
            route.abort("connectionreset") if len(asked) == 1 else route.continue_()

        visitor.page.route(f"**/static/{module}", fail_once)
        page = visitor.open("/#/live/door")
        expect(page.get_by_test_id("stage")).to_be_visible(timeout=WAIT_MS)
        assert len(asked) >= 2


def test_who_went_on_to_another_view_is_not_taken_from_it(
    make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path
) -> None:
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        visitor, asked = visit(daemon), []
        visitor.page.route("**/static/views/camera.js", lambda route: route.abort("connectionreset"))
        page = visitor.open("/#/people")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.on("request", lambda request: asked.append(request.url))
        page.evaluate("""() => {
            window.here = true;
            addEventListener('streamd:missing', () => { window.missed = true; });
            location.hash = '#/live/door';
        }""")
        eventually(lambda: page.evaluate("() => window.missed"), what="the view is missed")
        page.evaluate("() => { location.hash = '#/people'; }")
        eventually(lambda: page.evaluate("1") and any("healthz" in url for url in asked), what="it would load again")
        page.get_by_test_id("add-person").first.click()
        page.get_by_test_id("new-name").fill("Joe")
        assert page.evaluate("() => window.here")


def test_who_went_on_before_a_view_was_missed_is_left_alone(
    make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path
) -> None:
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        visitor = visit(daemon)
        held: list[Route] = []
        heard: list[str] = []
        visitor.page.route("**/static/views/camera.js", lambda route: held.append(route))
        visitor.page.on("console", lambda message: heard.append(message.text))
        page = visitor.open("/#/people")
        expect(page.get_by_role("heading", level=1)).to_be_visible()
        page.evaluate("""() => {
            addEventListener('streamd:missing', () => { window.missed = true; });
            location.hash = '#/live/door';
        }""")
        eventually(lambda: page.evaluate("1") == 1 and held, what="the view is asked for")
        page.evaluate("() => { location.hash = '#/events'; }")
        expect(page).to_have_title("Events · streamd")
        held[0].abort("connectionreset")
        failed = "dynamically imported module"
        eventually(lambda: page.evaluate("1") == 1 and failed in " ".join(heard), what="it did not come")
        assert not page.evaluate("() => window.missed")


def test_who_closes_a_dialog_by_the_keyboard_is_where_they_were(
    make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path
) -> None:
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        daemon.await_event("person.enrolled")
        visitor = visit(daemon)
        for path, opener in (("/#/people", "add-person"), (f"/#/people/{OBAMA.replace(' ', '%20')}", "add-photos")):
            page = visitor.open(path)
            page.get_by_test_id(opener).focus()
            page.keyboard.press("Enter")
            page.get_by_test_id("dialog-close").focus()
            page.keyboard.press("Enter")
            expect(page.get_by_role("dialog")).to_have_count(0)
            page.evaluate("() => new Promise((done) => requestIdleCallback(done))")  # whatever follows upon it
            expect(page.get_by_test_id(opener)).to_be_focused()


def test_video_goes_on_after_the_daemon_was_away(make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path) -> None:
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        page = visit(daemon).open("/#/live/door")
        expect(page.get_by_test_id("player")).to_have_attribute("data-how", "video")
        daemon.stop()
        expect(page.get_by_test_id("offline-banner")).to_be_visible()
        # By then it has given up video, and pictures.
        expect(page.get_by_test_id("player")).to_have_attribute("data-how", "offline", timeout=60_000)
        daemon.start()
        expect(page.get_by_test_id("offline-banner")).to_be_hidden()
        expect(page.get_by_test_id("player")).to_have_attribute("data-how", "video", timeout=60_000)


def test_who_looks_further_down_is_shown_what_was_missed_when_they_come_back(
    make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path
) -> None:
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        page = visit(daemon).open("/#/events")
        page.set_viewport_size({"width": 360, "height": 300})
        expect(page.get_by_test_id("timeline")).to_contain_text(OBAMA)
        page.mouse.wheel(0, 500)
        page.wait_for_function("() => scrollY > 250")
        daemon.stop()
        expect(page.get_by_test_id("offline-banner")).to_be_visible()
        with Journal(daemon.state / "journal.sqlite") as journal:
            said = Event(EventType.CAMERA_OFFLINE, "yard", timestamp(time.time()), new_id(), message="Nobody was there")
            journal.append([Entry("tests", new_id(), 1, said)])
        daemon.start()
        expect(page.get_by_test_id("offline-banner")).to_be_hidden()
        expect(page.get_by_test_id("timeline")).to_contain_text("is online")
        page.evaluate("() => scrollTo(0, 0)")
        expect(page.get_by_test_id("timeline")).to_contain_text("Nobody was there")


def green_at_face(page: Page, shown: Picture) -> bool:
    """Whether the video has lines of a box where the picture has the face, and nowhere near its corners."""
    picture = picture_of(page, "video").astype(int)
    height, width = picture.shape[:2]
    green = (picture[..., 1] > picture[..., 0] + 60) & (picture[..., 1] > picture[..., 2] + 60)
    rows, columns = np.nonzero(green)
    if len(rows) < 200:
        return False
    middle = (np.median(columns) / width, np.median(rows) / height)
    return 0.3 < middle[0] < 0.7 and 0.05 < middle[1] < 0.75


def test_a_person_is_added_by_a_photo_and_recognised(
    rtsp: RtspServer, make_daemon: MakeDaemon, visit: MakeVisitor, biden: Picture, faces_dir: Path, tmp_path: Path
) -> None:
    rtsp.show("cam1", biden)
    letter, wall = tmp_path / "letter.pdf", tmp_path / "wall.png"
    letter.write_bytes(b"%PDF-1.7\n")
    cv2.imwrite(str(wall), np.full((300, 300, 3), 90, np.uint8))
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("face.unknown", camera="door")
        visitor = visit(daemon)
        page = visitor.open("/#/people")
        page.get_by_test_id("add-person").first.click()
        page.get_by_test_id("new-name").fill("Joe Biden")
        page.get_by_test_id("photo-input").set_input_files([str(faces_dir / "biden.jpg"), str(wall), str(letter)])
        expect(page.get_by_test_id("photo-picker")).to_contain_text("letter.pdf")
        expect(page.get_by_test_id("photo")).to_have_count(2)
        page.get_by_test_id("photos-submit").click()
        refused = page.get_by_test_id("photo").filter(has_text="wall.png")
        expect(refused).to_contain_text("no face", ignore_case=True, timeout=60_000)
        daemon.await_event("face.identified", name="Joe Biden", timeout_s=30)
        page = visitor.open("/#/events")
        expect(page.get_by_test_id("timeline")).to_contain_text("Joe Biden")
        page.get_by_test_id("why").first.click()
        expect(page.get_by_test_id("reason")).to_contain_text("similarity")
        assert visitor.complaints == []


def test_a_stranger_is_named_past_events_follow_and_it_can_be_undone(
    rtsp: RtspServer, make_daemon: MakeDaemon, visit: MakeVisitor, biden: Picture, nobody: Picture
) -> None:
    with make_daemon({"door": {"url": rtsp.url("cam1")}}) as daemon:
        daemon.await_event("camera.online", camera="door")
        for number in range(2):
            rtsp.show("cam1", biden)
            eventually(lambda n=number: len(daemon.events("face.unknown")) > n, what="a stranger")
            rtsp.show("cam1", nobody)
            eventually(lambda n=number: len(daemon.events("face.left")) > n, what="who left")
        past = daemon.events("face.unknown")[0]
        visitor = visit(daemon)
        page = visitor.open("/#/unknowns")
        page.get_by_test_id("unknown-name").fill("Joe Biden")
        page.get_by_test_id("unknown-assign").click()
        page.get_by_test_id("toast").first.hover()  # it stays for as long as somebody points at it
        eventually(lambda: revised_name(daemon, past.id) == "Joe Biden", what="the past event follows")
        page.get_by_test_id("toast-action").click()
        eventually(lambda: revised_name(daemon, past.id) is None, what="and follows back")
        page = visitor.open("/#/unknowns")
        expect(page.get_by_test_id("unknown")).to_have_count(1)
        assert visitor.complaints == []


def revised_name(daemon: Daemon, event_id: str) -> str | None:
    with urllib.request.urlopen(f"{daemon.http}/api/v1/events?type=face.unknown&limit=500", timeout=10) as answer:
        events = json.load(answer)["events"]
    revised = next(event for event in events if event["id"] == event_id).get("revised", {})
    return str(revised["identity"]["name"]) if "identity" in revised else None


def test_who_may_not_is_refused(make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path) -> None:
    """Logging in, being refused, a viewer who cannot forget a person, a script in a name, logging out."""
    users = {name: {"role": name, "password": hash_password(PASSWORD)} for name in ("viewer", "admin")}
    cameras = {"door": {"url": str(visits), "capture": {"image_fps": 5}}}
    with make_daemon(cameras) as daemon:
        listen = daemon.body["gateway"]["listen"]
        daemon.body["gateway"] = {"listen": listen, "users": users}
        daemon.write_config()
        daemon.reload()
        eventually(lambda: status_of(daemon, "/api/v1/people") == 401, what="the users are there")

        visitor = visit(daemon)
        page = visitor.open("/")
        log_in(page, "admin", "wrong password")
        expect(page.get_by_test_id("login")).to_contain_text("wrong")
        log_in(page, "admin", PASSWORD)
        expect(page.get_by_test_id("nav")).to_be_visible()
        page.goto(f"{daemon.http}/#/people/{OBAMA.replace(' ', '%20')}")
        page.get_by_test_id("rename").click()
        page.get_by_test_id("rename-name").fill(SCRIPT)
        page.get_by_test_id("rename-name").press("Enter")
        expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
        expect(page.get_by_test_id("forget")).to_be_visible()
        page.get_by_test_id("logout").click()
        page.get_by_role("dialog").get_by_role("button", name="Log out").click()
        expect(page.get_by_test_id("login")).to_be_visible()
        page.goto(f"{daemon.http}/#/people")
        expect(page.get_by_test_id("login")).to_be_visible()

        log_in(page, "viewer", PASSWORD)
        page.goto(f"{daemon.http}/#/people/{urllib.request.quote(SCRIPT)}")  # type: ignore[attr-defined]
        expect(page.get_by_role("heading", level=1)).to_have_text(SCRIPT)
        expect(page.get_by_test_id("forget")).to_be_hidden()
        assert forget_by_script(page, SCRIPT) == 403
        complaints = [text for text in visitor.complaints if "401" not in text and "403" not in text]
        assert complaints == []


def log_in(page: Page, name: str, password: str) -> None:
    page.get_by_test_id("login-name").fill(name)
    page.get_by_test_id("login-password").fill(password)
    page.get_by_test_id("login-submit").click()


def status_of(daemon: Daemon, path: str) -> int | None:
    try:
        with urllib.request.urlopen(daemon.http + path, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return None


def forget_by_script(page: Page, name: str) -> int:
    """As a viewer might who opens the browser's console."""
    code = """async (name) => {
        const session = await (await fetch('/api/v1/session')).json();
        const answer = await fetch('/api/v1/people/' + encodeURIComponent(name),
            {method: 'DELETE', headers: {'X-CSRF-Token': session.csrf}});
        return answer.status;
    }"""
    return int(page.evaluate(code, name))


def test_a_browsers_camera_is_sent_and_recognised(
    make_daemon: MakeDaemon, playwright: Playwright, tmp_path: Path, faces_dir: Path
) -> None:
    portrait = np.asarray(cv2.imread(str(faces_dir / "obama2.jpg")), np.uint8)[100:900]
    film = write_camera(tmp_path / "camera.mjpeg", placed(portrait, (640, 480), height=460))
    with make_daemon({"phone": {"url": "whip://"}}) as daemon, chromium(playwright, camera=film) as browser:
        context = browser.new_context()
        context.set_default_timeout(WAIT_MS)
        visitor, other = Visitor(context, daemon.http), Visitor(context, daemon.http)
        events = other.open("/#/events")
        cameras: list[Route] = []
        visitor.page.route("**/api/v1/cameras", lambda route: cameras.append(route))
        page = visitor.open("/camera#name=phone")
        page.get_by_test_id("phone-start").click()  # before the page knows which cameras there are
        eventually(lambda: page.evaluate("1") == 1 and cameras, what="the page asks for the cameras")
        for asked in cameras:
            asked.continue_()
        visitor.page.unroute("**/api/v1/cameras")
        expect(page.get_by_test_id("phone-state")).to_have_attribute("data-state", "sending", timeout=WAIT_MS)
        named = daemon.await_event("face.identified", camera="phone", name=OBAMA, timeout_s=30)
        expect(events.get_by_test_id("timeline")).to_contain_text(OBAMA)
        page.get_by_test_id("phone-stop").click()
        daemon.await_event("camera.offline", camera="phone", after=named.seq, timeout_s=30)
        assert visitor.complaints + other.complaints == []
        context.close()


def test_a_browser_whose_clock_is_wrong_tells_how_long_ago_it_was(
    make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path
) -> None:
    with make_daemon({"door": {"url": str(visits), "capture": {"image_fps": 5}}}) as daemon:
        daemon.await_event("face.identified", name=OBAMA)
        for ahead_s in (26 * 3600, -26 * 3600):
            visitor = visit(daemon)
            visitor.page.clock.set_system_time(time.time() + ahead_s)
            page = visitor.open("/")
            rows = page.get_by_test_id("lately").locator("time")
            expect(rows.last).to_have_text(re.compile(r"^\d+ (s|min) ago$"))
            page = visitor.open("/#/cameras")
            expect(page.get_by_text(re.compile(r"^for \d+ (s|min)$"))).to_be_visible()
            assert visitor.complaints == []


def test_every_view_is_light_and_without_an_error(make_daemon: MakeDaemon, visit: MakeVisitor, visits: Path) -> None:
    cameras = {"door": {"url": str(visits), "capture": {"image_fps": 5}}}
    with make_daemon(cameras) as daemon:
        daemon.await_event("face.identified", name=OBAMA)
        visitor = visit(daemon)
        visitor.open("/")
        for view, title in VIEWS.items():
            page = visitor.open(f"/#/{view}")
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
            expect(page).to_have_title(f"{title} · streamd")
            page.wait_for_load_state("networkidle") if view not in ("", "events") else None
            assert shortcomings(page) == [], view
        page = visitor.open(f"/#/people/{OBAMA.replace(' ', '%20')}")
        expect(page.get_by_role("heading", level=1)).to_have_text(OBAMA)
        said = "import('/static/api.js').then(({sentence}) => ['no face', 'rtsp://h/1: no', ''].map(sentence))"
        assert page.evaluate(said) == ["No face", "rtsp://h/1: no", ""]
        assert visitor.complaints == []
        assert visitor.loaded_bytes < MOST_BYTES
        page.set_viewport_size({"width": 360, "height": 740})
        for view, title in VIEWS.items():
            page = visitor.open(f"/#/{view}")
            expect(page.get_by_role("heading", level=1)).to_have_text(title)
            assert page.evaluate("() => document.documentElement.scrollWidth") <= 360, view
