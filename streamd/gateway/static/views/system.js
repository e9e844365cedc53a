/**
 * The daemon itself: whether it is well, its processes, its load, its versions.
 */
import { api, sentence } from "../api.js";
import { pause } from "../backoff.js";
import { h, replace } from "../dom.js";
import { bytes, count, figure, ms, span } from "../format.js";
import { load } from "../loading.js";
import { head, state } from "../parts.js";
import { systemTabs } from "../systemtabs.js";
import { t } from "../strings.js";

const EVERY_MS = 5000;
const WELL = new Set(["running", "ready", "up", "online"]);

export async function show({ root, signal }) {
  const box = h("div.stack.stack-wide", { "data-testid": "system" });
  root.append(head(t.system.title, { lead: t.system.lead }), systemTabs("system"), box);
  const ask = () => api.get("system", {}, { signal });
  if (await load(box, signal, ask, report)) void watch();

  async function watch() {
    while (!signal.aborted) {
      try {
        await pause(EVERY_MS, signal);
        if (box.contains(document.activeElement)) continue;
        replace(box, report(await ask()));
      } catch {
        // The banner tells of a daemon that is away.
      }
    }
  }
}

function report(told) {
  const problems = Object.entries(told.problems ?? {});
  const well = told.ready && problems.length === 0;
  const f = told.figures ?? {};
  return [
    h(
      "section.card.health",
      { "data-testid": "health" },
      state(well ? "online" : "trouble", well ? t.system.well : told.ready ? t.system.partly : t.system.notReady),
      problems.length > 0 &&
        h(
          "ul.plain-list",
          {},
          problems.map(([child, words]) => h("li", {}, h("b", {}, child), " ", sentence(words))),
        ),
    ),
    h(
      "dl.figures",
      {},
      big(t.system.identity, ms(f.time_to_identity_p50_s), t.system.identityHint),
      big(t.system.age, ms(f.frame_age_p95_s), t.system.ageHint),
      big(t.system.people, count(told.gallery?.people), t.system.facesHint(told.gallery?.faces ?? 0)),
      big(t.system.unknowns, count(told.gallery?.unknowns)),
      big(t.system.events, count(f.events_total)),
      big(t.system.viewers, count(f.viewers)),
      big(t.system.free, bytes(f.disk_free_bytes)),
      big(t.system.state, bytes(f.state_bytes)),
    ),
    h(
      "section.card",
      {},
      h("h2", {}, t.system.processes),
      h(
        "div.table-box",
        { role: "region", "aria-label": t.system.processes, tabindex: 0 },
        processes(told.processes ?? []),
      ),
    ),
    h(
      "section.card",
      {},
      h("h2", {}, t.system.versions),
      h(
        "dl.facts",
        {},
        [
          ["streamd", told.version],
          ...Object.entries(told.versions ?? {}),
          [t.system.accelerator, told.accelerator],
          told.config_file && [t.system.config, told.config_file],
          [t.system.galleryVersion, told.gallery?.version],
        ]
          .filter(Boolean)
          .map(([k, v]) => h("div", {}, h("dt", {}, k), h("dd.break", {}, v ?? t.none))),
      ),
    ),
  ];
}

const big = (name, value, hint) =>
  h(
    "div.figure",
    {},
    h("dt", {}, name),
    h("dd", {}, h("span.figure-value", {}, value), hint && h("span.quiet", {}, hint)),
  );

function processes(list) {
  return h(
    "table.table.table-wide",
    { "data-testid": "processes" },
    h(
      "thead",
      {},
      h(
        "tr",
        {},
        t.system.columns.map(([name, number]) => h("th", { scope: "col", class: number ? "number" : "" }, name)),
      ),
    ),
    h(
      "tbody",
      {},
      list.map((p) =>
        h(
          "tr",
          {},
          h("th", { scope: "row" }, p.name),
          h(
            "td",
            {},
            state(WELL.has(p.state) ? "online" : "trouble", p.state),
            p.trouble && h("p.trouble", {}, sentence(p.trouble)),
          ),
          h("td.number", {}, typeof p.for_s === "number" ? span(p.for_s) : t.none),
          h("td.number", {}, p.restarts ?? t.none),
          h("td.number", {}, typeof p.cpu_s === "number" ? `${figure(p.cpu_s, 0)} s` : t.none),
          h("td.number", {}, bytes(p.memory_bytes)),
          h("td.number", {}, p.pid ?? t.none),
        ),
      ),
    ),
  );
}
