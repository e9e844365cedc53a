/**
 * How well the gallery tells people apart, and which photos do it harm.
 */
import { api, sentence } from "../api.js";
import { h } from "../dom.js";
import { histogram, histogramTable } from "../histogram.js";
import { load } from "../loading.js";
import { empty, head, portrait } from "../parts.js";
import { faceUrl } from "../people.js";
import { to } from "../router.js";
import { t } from "../strings.js";

export async function show({ root, signal }) {
  const box = h("div");
  root.append(
    head(t.calibration.title, { lead: t.calibration.lead, back: { href: "#/people", label: t.people.title } }),
    box,
  );
  await load(
    box,
    signal,
    () => api.get("calibration", {}, { signal }),
    (told) => (told.ready ? report(told) : empty(t.calibration.notReady, sentence(told.message), null, "chart")),
  );
}

const NOTHING = { bins: [], counts: [] };

function report(told) {
  const scores = { genuine: told.genuine ?? NOTHING, impostor: told.impostor ?? NOTHING, threshold: told.threshold };
  const hasScores = scores.genuine.counts.length + scores.impostor.counts.length > 0;
  return [
    h(
      "section.card",
      {},
      h("p.why-reason", {}, sentence(told.message)),
      h(
        "ul.legend",
        {},
        h("li", {}, h("span.key.key-impostor"), t.calibration.impostor),
        h("li", {}, h("span.key.key-genuine"), t.calibration.genuine),
      ),
      hasScores && histogram(scores),
      h("p.quiet", {}, hasScores ? t.calibration.how : t.calibration.noScores),
      hasScores &&
        h(
          "details",
          {},
          h("summary", {}, t.calibration.asTable),
          h(
            "div.table-box",
            { role: "region", "aria-label": t.calibration.asTable, tabindex: 0 },
            histogramTable(scores),
          ),
        ),
    ),
    told.advice.length > 0 &&
      h(
        "section.card",
        {},
        h("h2", {}, t.calibration.advice),
        h(
          "ul.prose",
          {},
          told.advice.map((line) => h("li", {}, sentence(line))),
        ),
      ),
    h(
      "section.card",
      {},
      h("h2", {}, t.calibration.suspects),
      told.suspects.length === 0 && h("p.quiet", {}, t.calibration.noSuspects),
      h(
        "ul.crops",
        {},
        told.suspects.map((s) =>
          h(
            "li.crop",
            {},
            portrait(faceUrl(s.face), { state: "unknown", alt: t.calibration.suspectAlt(s.person) }),
            h("a.break", { href: to("people", s.person) }, s.person),
            h("span.quiet", {}, t.calibration.reasons[s.reason] ?? s.reason),
          ),
        ),
      ),
    ),
  ];
}
