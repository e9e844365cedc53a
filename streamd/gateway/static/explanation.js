/**
 * Why a face got its name, or none: the sentence, the views, and what else happened in the same appearance.
 */
import { api, at, sentence } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { asText, snapshot, stateOf } from "./eventwords.js";
import { count, figure, moment, time } from "./format.js";
import { load } from "./loading.js";
import { portrait, state } from "./parts.js";
import { t } from "./strings.js";

/** Opens the explanation of an event. */
export function openExplanation(event) {
  const body = h("div.stack", { "data-testid": "explanation" });
  const left = new AbortController();
  const dialog = openDialog({ title: t.why.title, body, wide: true, testid: "explanation-dialog" });
  void dialog.closed.then(() => left.abort());
  void load(
    body,
    left.signal,
    () => api.get(at`events/${event.id}/explanation`, {}, { signal: left.signal }),
    (told) => explanation(event, told),
  );
}

/** @param {{reason: string, account: object|null, events: object[]}} told */
export function explanation(event, { reason, account, events }) {
  return [
    h(
      "div.why-head",
      {},
      portrait(snapshot(event, "face"), { state: stateOf(event), size: "big", alt: t.why.face }),
      h(
        "div",
        {},
        state(stateOf(event)),
        h("p.why-reason", { "data-testid": "reason" }, sentence(reason)),
        h("p.quiet", {}, `${moment(event.at)} · ${event.camera}`),
      ),
    ),
    account ? accountOf(account) : h("p.quiet", {}, t.why.noAccount),
    frame(event),
    events.length > 0 && [
      h("h3", {}, t.why.appearance),
      h(
        "ol.plain-list",
        {},
        events.map((e) => h("li", {}, h("time", { datetime: e.at }, time(e.at)), " ", asText(e))),
      ),
    ],
  ];
}

function accountOf(account) {
  const views = account.views ?? [];
  const refused = Object.entries(account.refused ?? {}).sort((a, b) => b[1] - a[1]);
  return [
    h(
      "p.quiet",
      {},
      t.why.looks(account.faces ?? 0),
      refused.length > 0 && [": ", refused.map(([why, n]) => `${count(n)} ${t.why.refused[why] ?? why}`).join(", ")],
      ".",
    ),
    views.length > 0 && h("h3", {}, t.why.views),
    views.length > 0 &&
      h(
        "div.table-box",
        { role: "region", "aria-label": t.why.views, tabindex: 0 },
        h(
          "table.table.table-wide",
          {},
          h(
            "thead",
            {},
            h(
              "tr",
              {},
              t.why.columns.map(([name, number]) => h("th", { scope: "col", class: number ? "number" : "" }, name)),
            ),
          ),
          h("tbody", {}, views.map(viewRow)),
        ),
      ),
    account.left_out > 0 && h("p.quiet", {}, t.why.leftOut(account.left_out)),
  ];
}

const viewRow = (view) =>
  h(
    "tr",
    { class: view.counted ? "" : "row-off" },
    h("td.number", {}, `${figure(view.after_s)} s`),
    h("td.number", {}, `${figure(view.size_px, 0)} px`),
    h("td.number", {}, typeof view.yaw === "number" ? `${Math.round(view.yaw)}°` : t.none),
    h("td.number", {}, figure(view.quality)),
    h("td", {}, match(view.best)),
    h("td", {}, match(view.runner_up)),
    h("td", {}, view.counted ? t.why.counted : t.why.notCounted(t.why.refused[view.reason] ?? view.reason ?? "")),
  );

const match = (m) => (m ? [h("span.break", {}, m.name), " ", h("b", {}, figure(m.similarity))] : t.none);

function frame(event) {
  const src = snapshot(event, "frame");
  if (!src) return null;
  const box = h(
    "figure.why-frame",
    {},
    h("img", { src, alt: t.why.frameAlt(event.camera), loading: "lazy", on: { error: () => (box.hidden = true) } }),
    h("figcaption.quiet", {}, t.why.frame),
  );
  return box;
}
