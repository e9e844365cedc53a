/**
 * One camera in large, its faces, and what happened before it.
 */
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { eventRow } from "../eventrow.js";
import { MINOR } from "../eventwords.js";
import { faceBoxes, nameOf } from "../faceboxes.js";
import { openFace } from "../facepanel.js";
import { feed } from "../feed.js";
import { icon } from "../icons.js";
import { livePlayer } from "../liveplayer.js";
import { load } from "../loading.js";
import { button, head, iconButton, state } from "../parts.js";
import { refresh, toWith } from "../router.js";
import { t } from "../strings.js";

const LATELY = 8;

export async function show({ root, params: { camera }, signal }) {
  const said = h("p.player-said", { role: "status", "data-testid": "player-state" });
  const player = livePlayer(camera, signal, (text, how) => {
    replace(
      said,
      icon(how === "offline" ? "off" : how === "trying" ? "dots" : "live"),
      h("span", {}, text),
      (how === "pictures" || how === "stills" || how === "offline") &&
        button(t.player.tryVideo, { kind: "quiet", click: refresh, testid: "try-video" }),
    );
  });
  const people = h("ul.chips", { "aria-label": t.live.now, "data-testid": "in-view" });
  const nobody = h("p.quiet", {}, t.live.nobody);
  const hint = h("p.quiet", { hidden: true }, t.live.clickHint);
  const boxes = faceBoxes(camera, { signal, onChoose: (face) => openFace(camera, face), onFaces: listFaces });
  const stage = h(
    "div.stage",
    { "data-testid": "stage" },
    player,
    boxes,
    document.fullscreenEnabled &&
      iconButton(t.live.fullscreen, "expand", {
        click: () => (document.fullscreenElement ? document.exitFullscreen() : stage.requestFullscreen()),
      }),
  );
  const lately = h("div");
  root.append(
    head(camera, { back: { href: "#/", label: t.live.back } }),
    h(
      "div.large",
      {},
      h("div", {}, stage, said),
      h(
        "aside.large-side",
        { "aria-label": t.live.about },
        h("section.card", {}, h("h2", {}, t.live.now), people, nobody, hint),
        h(
          "section.card",
          {},
          h("h2", {}, t.live.before),
          lately,
          h("p", {}, h("a", { href: toWith({ camera }, "events") }, t.live.allEvents)),
        ),
      ),
    ),
  );
  await load(
    lately,
    signal,
    () => api.get("events", { camera, limit: 40 }, { signal }),
    ({ events }) => recent(events.filter((e) => !MINOR.has(e.type)).slice(0, LATELY), camera, signal),
  );

  /** Kept in place where they are the same, so that a focus stays where it is. */
  function listFaces(faces) {
    nobody.hidden = faces.length > 0;
    hint.hidden = faces.length === 0;
    const kept = new Map([...people.children].map((chip) => [chip.dataset.key, chip]));
    const wanted = faces.map((face) => {
      const key = `${face.track} ${nameOf(face)} ${face.state}`;
      const chip =
        kept.get(key) ??
        h(
          "li",
          { data: { key } },
          h(
            "button.chip",
            { type: "button", on: { click: () => openFace(camera, chip.face) } },
            h("span.break", {}, nameOf(face)),
            face.state !== "deciding" && state(face.state),
          ),
        );
      return Object.assign(chip, { face });
    });
    if (wanted.length !== people.childElementCount || wanted.some((chip, i) => people.children[i] !== chip))
      people.replaceChildren(...wanted);
  }
}

function recent(events, camera, signal) {
  const rows = h(
    "ol.event-list.event-list-brief",
    { "aria-label": t.live.before },
    events.map((e) => eventRow(e, { brief: true })),
  );
  feed.subscribe((event) => {
    if (event.camera !== camera || MINOR.has(event.type)) return;
    rows.prepend(eventRow(event, { brief: true, fresh: true }));
    while (rows.childElementCount > LATELY) rows.lastElementChild.remove();
  }, signal);
  return rows.childElementCount ? rows : [rows, h("p.quiet", {}, t.live.nothingYet)];
}
