/**
 * Faces that belong together and have no name yet, and what can be done about them in one click.
 */
import { api, at, url } from "./api.js";
import { confirm } from "./dialog.js";
import { h } from "./dom.js";
import { busy, button, iconButton, notice, only, portrait, state, when } from "./parts.js";
import { peopleChanged, personField } from "./people.js";
import { to } from "./router.js";
import { session } from "./session.js";
import { t } from "./strings.js";
import { attempt, toast } from "./toast.js";
import { doneWithUndo } from "./undo.js";

const SHOWN_CROPS = 4;

export const cropUrl = (id, n) => url(at`unknowns/${id}/crops/${n}.jpg`);

/**
 * @param {object} unknown
 * @param {{changed: () => any, merging?: {start: (unknown: object) => void}, crops?: number}} options `changed`: reads again
 */
export function unknownCard(unknown, { changed, startMerge, crops = SHOWN_CROPS }) {
  const ignored = unknown.state === "ignored";
  return h(
    "li.unknown.card",
    { "data-testid": "unknown", data: { id: unknown.id } },
    h(
      "div.unknown-crops",
      {},
      unknown.crops
        .slice(0, crops)
        .map((n, i) =>
          portrait(cropUrl(unknown.id, n), { state: "unknown", alt: i ? "" : t.unknowns.faceAlt(unknown.id) }),
        ),
      unknown.crops.length === 0 && portrait(null, { state: "unknown", alt: unknown.id }),
    ),
    h(
      "div.unknown-words",
      {},
      h("h2.unknown-id", {}, h("a", { href: to("unknowns", unknown.id) }, unknown.id)),
      ignored && state("ignored"),
      h(
        "p",
        {},
        h("b", {}, t.unknowns.sightings(unknown.sightings)),
        " · ",
        t.unknowns.last,
        " ",
        when(unknown.last_seen),
      ),
      h("p.quiet", {}, t.unknowns.at(unknown.cameras)),
    ),
    session.may("operator") ? acts(unknown, ignored, changed, startMerge) : null,
  );
}

function acts(unknown, ignored, changed, startMerge) {
  const who = personField({
    label: t.unknowns.nameOf(unknown.id),
    hideLabel: true,
    placeholder: t.unknowns.namePlaceholder,
    testid: "unknown-name",
  });
  const go = button(t.unknowns.name, { type: "submit", kind: "main", testid: "unknown-assign" });
  const said = notice();
  const form = h("form.unknown-form", { "aria-label": t.unknowns.nameOf(unknown.id) }, who, go);
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const name = who.name;
    if (!name) return;
    try {
      const answer = await busy(go, () => api.post(at`unknowns/${unknown.id}/assign`, { name }));
      doneWithUndo(t.unknowns.named(name, answer.faces), answer.gallery_version, changed);
      await changed();
    } catch (error) {
      said.say(error.message);
    }
  });
  return h(
    "div.unknown-acts",
    {},
    !ignored && form,
    said,
    h(
      "div.row",
      {},
      !ignored &&
        button(t.unknowns.merge, {
          sign: "merge",
          kind: "quiet",
          testid: "unknown-merge",
          click: () => startMerge(unknown),
          "aria-label": t.unknowns.mergeOf(unknown.id),
        }),
      button(ignored ? t.unknowns.unignore : t.unknowns.ignore, {
        sign: ignored ? "eye" : "eyeoff",
        kind: "quiet",
        testid: "unknown-ignore",
        click: () => ignore(unknown, !ignored, changed),
        "aria-label": ignored ? t.unknowns.unignoreOf(unknown.id) : t.unknowns.ignoreOf(unknown.id),
      }),
      only("admin", () =>
        iconButton(t.unknowns.deleteOf(unknown.id), "trash", {
          testid: "unknown-delete",
          click: () => remove(unknown, changed),
        }),
      ),
    ),
  );
}

const setIgnored = (unknown, ignored) => api.post(at`unknowns/${unknown.id}/ignore`, { ignored });

function ignore(unknown, ignored, changed) {
  return attempt(async () => {
    await setIgnored(unknown, ignored);
    toast(ignored ? t.unknowns.ignored(unknown.id) : t.unknowns.unignored(unknown.id), {
      action: {
        label: t.undo.action,
        run: async () => {
          await setIgnored(unknown, !ignored);
          await changed();
        },
      },
    });
    await changed();
  });
}

async function remove(unknown, changed) {
  if (
    !(await confirm({
      title: t.unknowns.deleteTitle(unknown.id),
      text: t.unknowns.deleteText,
      yes: t.unknowns.delete,
      danger: true,
    }))
  )
    return;
  await attempt(async () => {
    await api.delete(at`unknowns/${unknown.id}`);
    toast(t.unknowns.deleted(unknown.id));
    await changed();
  });
}

/** Makes `from` the same as `into`. */
export function mergeUnknowns(from, into, changed) {
  return attempt(async () => {
    const answer = await api.post(at`unknowns/${from.id}/merge`, { into: into.id });
    peopleChanged();
    const version = answer?.gallery_version;
    if (version) doneWithUndo(t.unknowns.merged(from.id, into.id), version, changed);
    else toast(t.unknowns.merged(from.id, into.id));
    await changed();
  });
}
