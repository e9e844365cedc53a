/**
 * One person: faces, what is known of them, and when they were seen.
 */
import { addPerson } from "../addperson.js";
import { api, at } from "../api.js";
import { h } from "../dom.js";
import { eventRow } from "../eventrow.js";
import { MINOR } from "../eventwords.js";
import { feed } from "../feed.js";
import { date, figure, moment } from "../format.js";
import { load } from "../loading.js";
import { button, empty, head, iconButton, only, portrait, when } from "../parts.js";
import { faceUrl, peopleChanged, portraitOf } from "../people.js";
import { personDetails } from "../persondetails.js";
import { forget, merge, rename } from "../personacts.js";
import { refresh, toWith } from "../router.js";
import { t } from "../strings.js";
import { attempt } from "../toast.js";
import { doneWithUndo } from "../undo.js";

const MOST_ROWS = 100;

export async function show({ root, params: { name }, signal }) {
  await load(
    root,
    signal,
    () => api.get(at`people/${name}`, {}, { signal }),
    (person) => profile(person, signal),
  );
}

function profile(person, signal) {
  const acts = only("operator", () => [
    button(t.person.addPhotos, {
      sign: "plus",
      kind: "main",
      testid: "add-photos",
      click: () =>
        addPerson({ name: person.name }).closed.then((name) => {
          if (!name) return; // Nothing was added, and the focus is where it was.
          peopleChanged();
          refresh();
        }),
    }),
    button(t.person.rename, { sign: "edit", testid: "rename", click: () => rename(person) }),
    button(t.person.merge, { sign: "merge", testid: "merge", click: () => merge(person) }),
  ]);
  const seen = h("div");
  void load(
    seen,
    signal,
    () => api.get("events", { person: person.name, limit: 60 }, { signal }),
    ({ events }) => history(events, person, signal),
  );
  return [
    head(person.name, { back: { href: "#/people", label: t.people.title }, actions: acts ?? [] }),
    h(
      "div.profile",
      {},
      h(
        "div.stack.stack-wide",
        {},
        h(
          "section.card.profile-head",
          { "aria-label": t.person.about },
          portrait(portraitOf(person), { size: "big", alt: person.name }),
          h(
            "dl.facts",
            {},
            fact(
              t.person.lastSeen,
              person.last_seen ? [when(person.last_seen.at), t.person.at, person.last_seen.camera] : t.people.neverSeen,
            ),
            fact(t.person.faces, person.faces),
            fact(
              t.person.since,
              h("time", { datetime: person.created, title: moment(person.created) }, date(person.created)),
            ),
          ),
        ),
        faces(person),
        personDetails(person),
        only("admin", () =>
          h(
            "section.card.danger",
            {},
            h("h2", {}, t.person.forget),
            h("p.quiet", {}, t.person.forgetText),
            button(t.person.forget, { sign: "trash", kind: "danger", testid: "forget", click: () => forget(person) }),
          ),
        ),
      ),
      h("section.card", {}, h("h2", {}, t.person.history), seen),
    ),
  ];
}

const fact = (name, value) => h("div", {}, h("dt", {}, name), h("dd", {}, value));

function faces(person) {
  const kept = person.faces_list ?? [];
  return h(
    "section.card",
    {},
    h("h2", {}, t.person.photos),
    kept.length === 0 && empty(t.person.noFaces, t.person.noFacesText),
    kept.length === 1 && h("p.notice.notice-plain", {}, t.person.oneFace),
    h(
      "ul.crops",
      { "data-testid": "face-list" },
      kept.map((face, i) =>
        h(
          "li.crop",
          { "data-testid": "face-crop" },
          portrait(faceUrl(face.id), { alt: t.person.faceAlt(i + 1, kept.length) }),
          h(
            "span.quiet",
            { title: `${face.source}\n${face.model}\n${moment(face.added)}` },
            t.person.quality(figure(face.quality)),
          ),
          only("operator", () =>
            iconButton(t.person.removeFace(i + 1), "trash", { testid: "remove-face", click: () => remove(face) }),
          ),
        ),
      ),
    ),
  );

  function remove(face) {
    return attempt(async () => {
      const answer = await api.delete(at`faces/${face.id}`);
      doneWithUndo(t.person.faceRemoved, answer?.gallery_version, refresh);
      refresh();
    });
  }
}

function history(events, person, signal) {
  const main = events.filter((event) => !MINOR.has(event.type));
  const rows = h(
    "ol.event-list.event-list-brief",
    { "data-testid": "person-events" },
    main.map((event) => eventRow(event, { brief: true })),
  );
  const none = h("p.quiet", { hidden: main.length > 0 }, t.person.neverSeenText);
  feed.subscribe((event) => {
    if (event.identity?.name !== person.name || MINOR.has(event.type)) return;
    none.hidden = true;
    rows.prepend(eventRow(event, { brief: true, fresh: true }));
    if (rows.childElementCount > MOST_ROWS) rows.lastElementChild.remove();
  }, signal);
  return [rows, none, h("p", {}, h("a", { href: toWith({ person: person.name }, "events") }, t.live.allEvents))];
}
