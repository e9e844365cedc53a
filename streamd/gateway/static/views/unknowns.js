/**
 * Strangers, most seen first: each gets a name, goes together with another, or is ignored.
 */
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { load } from "../loading.js";
import { button, empty, head, portrait } from "../parts.js";
import { setQuery } from "../router.js";
import { t } from "../strings.js";
import { cropUrl, mergeUnknowns, unknownCard } from "../unknowncard.js";

export async function show({ root, query, signal }) {
  const all = h("input", { type: "checkbox", checked: query.get("all") === "1", "data-testid": "show-ignored" });
  const box = h("div");
  const mergeBar = h("div.merge-bar", { role: "status", hidden: true, "data-testid": "merge-bar" });
  let merging = null;
  root.append(
    head(t.unknowns.title, { lead: t.unknowns.lead }),
    h("div.bar", {}, h("label.check", {}, all, h("span", {}, t.unknowns.showIgnored))),
    mergeBar,
    box,
  );
  all.addEventListener("change", () => {
    setQuery({ all: all.checked ? "1" : "" });
    void read();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && merging && stopMerge(), { signal });
  await read();

  function read() {
    return load(box, signal, () => api.get("unknowns", { all: all.checked }, { signal }), cards);
  }

  function cards(found) {
    stopMerge();
    const unknowns = found.filter((unknown) => all.checked || unknown.state !== "ignored");
    if (unknowns.length === 0) return empty(t.unknowns.none, t.unknowns.noneText, null, "unknowns");
    return h(
      "ul.unknowns",
      { "data-testid": "unknowns" },
      unknowns.map((unknown) => Object.assign(unknownCard(unknown, { changed: read, startMerge }), { unknown })),
    );
  }

  /** The next card that is chosen is the same person. */
  function startMerge(unknown) {
    merging = unknown;
    mergeBar.hidden = false;
    replace(
      mergeBar,
      portrait(unknown.crops[0] === undefined ? null : cropUrl(unknown.id, unknown.crops[0]), {
        state: "unknown",
        size: "small",
      }),
      h("span", {}, t.unknowns.chooseOther(unknown.id)),
      button(t.cancel, { click: stopMerge, testid: "merge-cancel" }),
    );
    for (const card of box.querySelectorAll(".unknown")) {
      card.classList.toggle("unknown-merging", card.unknown === unknown);
      if (card.unknown === unknown) continue;
      card.append(
        h(
          "button.unknown-choose",
          {
            type: "button",
            "data-testid": "merge-into-this",
            "aria-label": t.unknowns.sameAs(card.unknown.id),
            on: { click: () => into(card.unknown) },
          },
          h("span", {}, t.unknowns.same),
        ),
      );
    }
    box.querySelector(".unknown-choose")?.focus({ preventScroll: true });
  }
  function stopMerge() {
    merging = null;
    mergeBar.hidden = true;
    box.querySelectorAll(".unknown-choose").forEach((element) => element.remove());
    box.querySelectorAll(".unknown-merging").forEach((card) => card.classList.remove("unknown-merging"));
  }
  function into(other) {
    const from = merging;
    stopMerge();
    return mergeUnknowns(from, other, read);
  }
}
