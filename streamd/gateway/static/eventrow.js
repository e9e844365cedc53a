/**
 * One event as a row: the face, what happened, when, and why.
 */
import { h } from "./dom.js";
import { MINOR, figures, snapshot, stateOf, whatHappened } from "./eventwords.js";
import { openExplanation } from "./explanation.js";
import { time } from "./format.js";
import { icon } from "./icons.js";
import { button, portrait, state, when } from "./parts.js";
import { t } from "./strings.js";

const SIGNS = {
  "camera.online": "camera",
  "camera.offline": "off",
  "gallery.online": "link",
  "gallery.offline": "off",
  "person.enrolled": "plus",
  "person.forgotten": "trash",
};

/**
 * @param {object} event
 * @param {{fresh?: boolean, brief?: boolean}} options `fresh`: it just came; `brief`: without figures
 */
export function eventRow(event, { fresh = false, brief = false } = {}) {
  const minor = MINOR.has(event.type);
  const name = stateOf(event);
  const face = snapshot(event, "face");
  const sign = SIGNS[event.type];
  const picture = sign
    ? h("span.event-sign", { class: `event-sign-${name}` }, icon(sign))
    : minor
      ? h("span.event-dot")
      : portrait(face, { state: name, size: brief ? "small" : "" });
  const detail = !brief && !minor && figures(event);
  return h(
    "li.event",
    {
      class: `${minor ? "event-minor" : ""} ${fresh ? "event-fresh" : ""}`,
      data: { seq: event.seq, type: event.type },
      "data-testid": "event",
    },
    picture,
    h("div.event-words", {}, h("p.event-said", {}, whatHappened(event)), detail && h("p.event-figures", {}, detail)),
    !minor && !brief && event.type.startsWith("face.") && state(name),
    when(event.at, brief ? undefined : time(event.at)),
    !brief &&
      event.track &&
      button(t.events.why, {
        sign: "why",
        kind: "quiet",
        testid: "why",
        click: () => openExplanation(event),
        "aria-label": t.events.whyOf(event.seq),
      }),
  );
}
