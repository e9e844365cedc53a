/**
 * Everybody who is known, as pictures.
 */
import { api } from "../api.js";
import { h } from "../dom.js";
import { addPerson } from "../addperson.js";
import { load } from "../loading.js";
import { button, empty, head, only, portrait, when } from "../parts.js";
import { peopleChanged, portraitOf } from "../people.js";
import { setQuery, to } from "../router.js";
import { t } from "../strings.js";

export async function show({ root, query, signal }) {
  const list = h("div");
  const count = h("p.quiet", { role: "status", "data-testid": "people-count" });
  const search = h("input.input", {
    type: "search",
    value: query.get("q") ?? "",
    placeholder: t.people.search,
    "aria-label": t.people.search,
    autocomplete: "off",
    "data-testid": "people-search",
  });
  const label = h(
    "select.input",
    { "aria-label": t.people.label, "data-testid": "people-label" },
    h("option", { value: "" }, t.people.anyLabel),
  );
  root.append(
    head(t.people.title, {
      lead: t.people.lead,
      actions: [
        h("a.button", { href: "#/calibration", "data-testid": "to-calibration" }, t.calibration.link),
        only("operator", () => button(t.people.add, { sign: "plus", kind: "main", testid: "add-person", click: add })),
      ],
    }),
    h("div.bar", { role: "search" }, search, label, count),
    list,
  );
  await load(list, signal, () => api.get("people", {}, { signal }), gallery);
  if (query.get("add")) add();

  function add() {
    void addPerson().closed.then((name) => {
      if (!name) return; // Nobody was added, and the focus is where it was.
      peopleChanged();
      if (!signal.aborted) location.hash = to("people", name); // else the view was left with the dialog open
    });
  }

  function gallery(people) {
    if (people.length === 0)
      return empty(
        t.people.none,
        t.people.noneText,
        only("operator", () => button(t.people.add, { sign: "plus", kind: "main", click: add })),
      );
    const cards = people.map((person) => ({ person, element: card(person), text: searchable(person) }));
    const none = empty(t.people.noMatch, t.people.noMatchText, null, "search");
    for (const value of labelsOf(people)) label.append(h("option", { value }, value));
    label.value = query.get("label") ?? "";
    search.addEventListener("input", narrow);
    label.addEventListener("change", narrow);
    const grid = h(
      "ul.people",
      { "data-testid": "people" },
      cards.map((c) => c.element),
    );
    narrow();
    return [grid, none];

    /** Hides who does not match: nothing is fetched anew while one types. */
    function narrow() {
      const typed = search.value.trim().toLowerCase();
      let shown = 0;
      for (const { person, element, text } of cards) {
        const fits = text.includes(typed) && (!label.value || pairs(person).includes(label.value));
        element.hidden = !fits;
        shown += fits;
      }
      none.hidden = shown > 0;
      count.textContent = t.people.count(shown, people.length);
      setQuery({ q: search.value.trim(), label: label.value });
    }
  }
}

const pairs = (person) =>
  Object.entries(person.labels ?? {}).flatMap(([key, values]) => values.map((value) => `${key}=${value}`));
const labelsOf = (people) => [...new Set(people.flatMap(pairs))].sort();
const searchable = (person) => [person.name, person.notes, ...pairs(person)].join("\n").toLowerCase();

const card = (person) =>
  h(
    "li.person",
    { "data-testid": "person", data: { name: person.name } },
    h(
      "a.person-link",
      { href: to("people", person.name) },
      portrait(portraitOf(person), { state: person.faces ? "known" : "deciding" }),
      h("span.person-name", {}, person.name),
      h("span.quiet", {}, person.last_seen ? [t.people.seen, " ", when(person.last_seen.at)] : t.people.neverSeen),
      person.faces < 2 && h("span.tag.tag-warn", {}, person.faces === 0 ? t.people.noFaces : t.people.oneFace),
    ),
  );
