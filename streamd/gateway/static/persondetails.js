/**
 * A person's labels, notes and consent, to be changed in place.
 */
import { api, at } from "./api.js";
import { h } from "./dom.js";
import { busy, button, field, notice } from "./parts.js";
import { peopleChanged } from "./people.js";
import { session } from "./session.js";
import { t } from "./strings.js";
import { toast } from "./toast.js";

/** @param {{name: string, labels: object, notes: string, consent: string}} person */
export function personDetails(person) {
  const may = session.may("operator");
  const labels = h("input.input", {
    type: "text",
    value: asText(person.labels),
    placeholder: t.person.labelsPlaceholder,
    spellcheck: "false",
    autocomplete: "off",
    disabled: !may,
    "data-testid": "labels",
  });
  const notes = h("textarea.input", {
    rows: 3,
    value: person.notes ?? "",
    disabled: !may,
    maxlength: 4000,
    "data-testid": "notes",
  });
  const consent = h("textarea.input", {
    rows: 2,
    value: person.consent ?? "",
    placeholder: t.people.consentPlaceholder,
    disabled: !may,
    maxlength: 4000,
    "data-testid": "consent",
  });
  let kept = { labels: asLabels(labels.value), notes: notes.value, consent: consent.value };
  const said = notice();
  const save = button(t.save, { type: "submit", kind: "main", testid: "save-details", disabled: true });
  const form = h(
    "form.stack",
    { on: { input: () => (save.disabled = !may) } },
    field(t.person.labels, labels, t.person.labelsHint),
    field(t.person.notes, notes),
    field(t.person.consent, consent, t.people.consentHint),
    said,
    may ? h("div.row.row-end", {}, save) : h("p.quiet", {}, t.needs.operator),
  );
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const read = asLabels(labels.value);
    if (!read) return said.say(t.person.labelsWrong);
    try {
      // What stays the same is no change: each would be one of its own in the log.
      const now = { labels: read, notes: notes.value, consent: consent.value };
      const changed = Object.entries(now).filter(([key, value]) => JSON.stringify(value) !== JSON.stringify(kept[key]));
      if (changed.length) await busy(save, () => api.patch(at`people/${person.name}`, Object.fromEntries(changed)));
      kept = now;
      said.say("");
      peopleChanged();
      save.disabled = true;
      toast(t.person.saved);
    } catch (error) {
      said.say(error.message);
    }
  });
  return h("section.card", {}, h("h2", {}, t.person.details), form);
}

/** `{site: ["hq", "lab"]}` as `site=hq, site=lab`. */
const asText = (labels) =>
  Object.entries(labels ?? {})
    .flatMap(([key, values]) => values.map((value) => `${key}=${value}`))
    .join(", ");

/** The reverse; null where something is no label. */
function asLabels(text) {
  const labels = {};
  for (const pair of text
    .split(",")
    .map((p) => p.trim())
    .filter(Boolean)) {
    const [key, ...rest] = pair.split("=");
    const value = rest.join("=").trim();
    if (!key.trim() || !value) return null;
    (labels[key.trim()] ??= []).push(value);
  }
  return labels;
}
