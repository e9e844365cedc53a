/**
 * One stranger: every view that is kept, and where and when it was.
 */
import { api, at } from "../api.js";
import { h } from "../dom.js";
import { figure, moment } from "../format.js";
import { load } from "../loading.js";
import { head, portrait } from "../parts.js";
import { t } from "../strings.js";
import { cropUrl, unknownCard } from "../unknowncard.js";

export async function show({ root, params: { id }, signal }) {
  const away = () => (location.hash = "#/unknowns");
  await load(
    root,
    signal,
    () => api.get(at`unknowns/${id}`, {}, { signal }),
    (unknown) => [
      head(unknown.id, { back: { href: "#/unknowns", label: t.unknowns.title } }),
      h("ul.unknowns.unknowns-one", {}, unknownCard(unknown, { changed: away, startMerge: away, crops: 8 })),
      h(
        "section.card",
        {},
        h("h2", {}, t.unknowns.seen),
        h(
          "ul.crops",
          {},
          unknown.seen.map((view) =>
            h(
              "li.crop",
              {},
              portrait(cropUrl(id, view.crop), { state: "unknown", alt: t.unknowns.viewAlt(view.camera) }),
              h("span", {}, view.camera),
              h("time.quiet", { datetime: view.at }, moment(view.at)),
              h("span.quiet", {}, t.person.quality(figure(view.quality))),
            ),
          ),
        ),
      ),
    ],
  );
}
