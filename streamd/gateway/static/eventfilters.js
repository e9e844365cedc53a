/**
 * The form that narrows the events: by camera, kind, person and time.
 */
import { api } from "./api.js";
import { h } from "./dom.js";
import { TYPES } from "./eventwords.js";
import { button, field } from "./parts.js";
import { everybody } from "./people.js";
import { t } from "./strings.js";

/** The form of filters; changes `filter`, and says so. */
export function eventFilters(filter, changed) {
  const camera = h("select.input", { "data-testid": "filter-camera" }, h("option", { value: "" }, t.events.anyCamera));
  const type = h(
    "select.input",
    { "data-testid": "filter-type" },
    h("option", { value: "" }, t.events.anyType),
    TYPES.map((name) => h("option", { value: name }, t.events.types[name])),
  );
  const names = h("datalist", { id: "filter-names" });
  const person = h("input.input", {
    type: "search",
    list: "filter-names",
    placeholder: t.events.anybody,
    autocomplete: "off",
    "data-testid": "filter-person",
  });
  const from = h("input.input", { type: "datetime-local", "data-testid": "filter-from" });
  const until = h("input.input", { type: "datetime-local", "data-testid": "filter-until" });
  const minor = h("input", { type: "checkbox", checked: Boolean(filter.minor), "data-testid": "filter-minor" });
  const controls = { camera, type, person, from, until };
  const form = h(
    "form.filters",
    {
      role: "search",
      "aria-label": t.events.filters,
      "data-testid": "filters",
      on: { submit: (event) => event.preventDefault() },
    },
    field(t.events.camera, camera),
    field(t.events.type, type),
    field(t.events.person, h("span", {}, person, names)),
    field(t.events.from, from),
    field(t.events.until, until),
    h(
      "div.filters-last",
      {},
      h("label.check", {}, minor, h("span", {}, t.events.minor)),
      button(t.events.clear, { kind: "quiet", sign: "close", testid: "filter-clear", click: clear }),
    ),
  );
  for (const [key, control] of Object.entries(controls))
    control.addEventListener("change", () => {
      filter[key] = control.value;
      changed();
    });
  minor.addEventListener("change", () => {
    filter.minor = minor.checked ? "1" : "";
    changed();
  });
  type.value = filter.type;
  person.value = filter.person;
  from.value = filter.from;
  until.value = filter.until;
  if (filter.camera) camera.append(h("option", { value: filter.camera, selected: true }, filter.camera));
  void api
    .get("cameras")
    .then((cameras) =>
      camera.append(
        ...cameras.filter((c) => c.name !== filter.camera).map((c) => h("option", { value: c.name }, c.name)),
      ),
    )
    .catch(() => {});
  void everybody()
    .then((people) => names.append(...people.map((p) => h("option", { value: p.name }))))
    .catch(() => {});
  return h(
    "details.filter-box",
    { open: matchMedia("(min-width: 56rem)").matches || Object.values(filter).some(Boolean) },
    h("summary", {}, t.events.filters),
    form,
  );

  function clear() {
    for (const [key, control] of Object.entries(controls)) filter[key] = control.value = "";
    filter.minor = "";
    minor.checked = false;
    changed();
  }
}
