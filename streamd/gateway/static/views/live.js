/**
 * All cameras at a glance, and what happened last.
 */
import { api } from "../api.js";
import { pause } from "../backoff.js";
import { h, replace } from "../dom.js";
import { eventRow } from "../eventrow.js";
import { MINOR } from "../eventwords.js";
import { feed } from "../feed.js";
import { load } from "../loading.js";
import { empty, head, only, state } from "../parts.js";
import { to } from "../router.js";
import { keepFresh } from "../stills.js";
import { t } from "../strings.js";

const CAMERAS_EVERY_MS = 5000;
const LATELY = 12;

export async function show({ root, signal }) {
  const grid = h("div.tiles-box");
  const lately = h("div");
  root.append(
    head(t.live.title, { lead: t.live.lead }),
    h(
      "div.live",
      {},
      grid,
      h(
        "section.lately",
        { "aria-labelledby": "lately" },
        h("h2", { id: "lately" }, t.live.lately),
        lately,
        h("p", {}, h("a", { href: "#/events" }, t.live.allEvents)),
      ),
    ),
  );
  await Promise.all([
    load(
      grid,
      signal,
      () => api.get("cameras", {}, { signal }),
      (cameras) => tiles(cameras, grid, signal),
    ),
    load(
      lately,
      signal,
      () => latest(signal),
      (events) => list(events, signal),
    ),
  ]);
}

async function latest(signal) {
  const { events } = await api.get("events", { limit: 60 }, { signal });
  return events.filter((e) => !MINOR.has(e.type)).slice(0, LATELY);
}

function list(events, signal) {
  const rows = h(
    "ol.event-list.event-list-brief",
    { "aria-label": t.live.lately, "data-testid": "lately" },
    events.map((e) => eventRow(e, { brief: true })),
  );
  const none = h("p.quiet", { hidden: events.length > 0 }, t.live.nothingYet);
  feed.subscribe((event) => {
    if (MINOR.has(event.type)) return;
    none.hidden = true;
    rows.prepend(eventRow(event, { brief: true, fresh: true }));
    while (rows.childElementCount > LATELY) rows.lastElementChild.remove();
  }, signal);
  return [rows, none];
}

function tiles(cameras, grid, signal) {
  if (cameras.length === 0)
    return empty(
      t.live.noCameras,
      t.live.noCamerasText,
      only("admin", () => h("a.button.button-main", { href: "#/cameras?add=1" }, t.cameras.add)) ?? t.needs.admin,
      "camera",
    );
  const made = new Map(cameras.map((camera) => [camera.name, tile(camera, signal)]));
  void watch();
  return h(
    "ul.tiles",
    { "data-testid": "tiles", style: { "--columns": Math.max(2, Math.ceil(Math.sqrt(cameras.length))) } },
    [...made.values()].map((m) => m.element),
  );

  async function watch() {
    while (!signal.aborted) {
      try {
        await pause(CAMERAS_EVERY_MS, signal);
        const now = await api.get("cameras", {}, { signal });
        if (now.map((c) => c.name).join("\n") !== [...made.keys()].join("\n"))
          return replace(grid, tiles(now, grid, signal));
        now.forEach((camera) => made.get(camera.name).update(camera));
      } catch {
        // The banner tells of a daemon that is away.
      }
    }
  }
}

/** One camera: its picture, its name, its state. */
function tile(camera, signal) {
  const image = h("img", { alt: "" });
  const words = h("span.tile-none", {}, t.live.waiting);
  const foot = h("span.tile-foot");
  const element = h(
    "li.tile",
    { "data-testid": "tile", data: { camera: camera.name } },
    h("a.tile-link", { href: to("live", camera.name) }, h("span.tile-picture", {}, image, words), foot),
  );
  let online = null;
  update(camera);
  void keepFresh(image, camera.name, {
    signal,
    wanted: () => online === true,
    onPicture: () => element.classList.add("tile-shown"),
    onError: (error) => {
      element.classList.remove("tile-shown");
      words.textContent = error.message;
    },
  });
  return { element, update };

  function update(now) {
    const name = now.online ? "online" : now.online === null ? "waiting" : "offline";
    element.dataset.state = name;
    const people = now.online && now.tracks > 0 && h("span.tile-count", {}, t.live.inView(now.tracks));
    replace(foot, h("span.tile-name", {}, now.name), people, state(name));
    online = now.online;
    if (!online) element.classList.remove("tile-shown");
    if (!now.online && now.message) words.textContent = now.message;
  }
}
