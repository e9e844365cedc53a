/**
 * Every change of the gallery, who made it, and taking it back.
 */
import { api } from "../api.js";
import { h } from "../dom.js";
import { day, dayKey, time } from "../format.js";
import { load } from "../loading.js";
import { button, empty, head, only } from "../parts.js";
import { peopleChanged } from "../people.js";
import { to } from "../router.js";
import { systemTabs } from "../systemtabs.js";
import { t } from "../strings.js";
import { attempt } from "../toast.js";
import { undo } from "../undo.js";

const MOST = 500;
/** What cannot be taken back. */
const FINAL = new Set(["person.forgotten", "gallery.received"]);

export async function show({ root, signal }) {
  const box = h("div");
  root.append(head(t.log.title, { lead: t.log.lead }), systemTabs("log"), box);
  await read();

  function read() {
    return load(
      box,
      signal,
      () => api.get("gallery/changes", { limit: MOST }, { signal }),
      (changes) => {
        if (changes.length === 0) return empty(t.log.none, t.log.noneText, null, "events");
        return byDay([...changes].sort((a, b) => b.version - a.version));
      },
    );
  }

  function byDay(changes) {
    const sections = [];
    let current = "";
    for (const change of changes) {
      const key = dayKey(change.at);
      if (key !== current)
        sections.push(h("section.day", {}, h("h2.day-name", {}, day(change.at)), h("ol.event-list")));
      current = key;
      sections.at(-1).querySelector("ol").append(row(change));
    }
    return h("div.timeline", { "data-testid": "log" }, sections);
  }

  function row(change) {
    return h(
      "li.event.change",
      { "data-testid": "change", data: { version: change.version } },
      h("span.change-number", {}, change.version),
      h(
        "div.event-words",
        {},
        h(
          "p.event-said",
          {},
          t.log.whats[change.what] ?? change.what,
          change.name && [": ", h("a.who", { href: to("people", change.name) }, change.name)],
        ),
        h(
          "p.event-figures.break",
          {},
          [change.detail, change.actor && t.log.by(change.actor)].filter(Boolean).join(" · "),
        ),
      ),
      h("time", { datetime: change.at }, time(change.at)),
      !FINAL.has(change.what) &&
        only("operator", () =>
          button(t.undo.action, {
            sign: "undo",
            kind: "quiet",
            testid: "log-undo",
            "aria-label": t.log.undoOf(change.version),
            click: () => back(change),
          }),
        ),
    );
  }

  function back(change) {
    return attempt(async () => {
      peopleChanged();
      await undo(change.version, read);
    });
  }
}
