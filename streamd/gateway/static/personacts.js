/**
 * Renaming, merging and forgetting a person, each with its dialog.
 */
import { api, at } from "./api.js";
import { confirm, openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { moment } from "./format.js";
import { busy, button, field, notice } from "./parts.js";
import { peopleChanged, personField } from "./people.js";
import { to } from "./router.js";
import { t } from "./strings.js";
import { attempt } from "./toast.js";
import { doneWithUndo } from "./undo.js";

/** Shows a form in a dialog; `act` runs with what it gives, and its error is shown in the form. */
function ask({ title, fields, submit, testid, act }) {
  const said = notice();
  const go = button(submit, { type: "submit", kind: "main", testid: `${testid}-submit` });
  const form = h(
    "form.stack",
    {},
    fields,
    said,
    h("div.row.row-end", {}, button(t.cancel, { click: () => dialog.close() }), go),
  );
  const dialog = openDialog({ title, body: form, testid: `${testid}-dialog` });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    try {
      const result = await busy(go, act);
      dialog.close();
      result?.();
    } catch (error) {
      said.say(error.message);
    }
  });
}

export function rename(person) {
  const input = h("input.input", {
    type: "text",
    value: person.name,
    required: true,
    maxlength: 200,
    autofocus: true,
    "data-testid": "rename-name",
  });
  input.select();
  ask({
    title: t.person.rename,
    testid: "rename",
    submit: t.person.rename,
    fields: field(t.people.name, input),
    async act() {
      const name = input.value.trim();
      if (name === person.name) return null;
      const answer = await api.patch(at`people/${person.name}`, { name });
      return () => {
        doneWithUndo(
          t.person.renamed(name),
          answer?.gallery_version,
          () => (location.hash = to("people", person.name)),
        );
        location.hash = to("people", name);
      };
    },
  });
}

export function merge(person) {
  const into = personField({ label: t.person.mergeInto, exclude: person.name, testid: "merge-into", autofocus: true });
  ask({
    title: t.person.mergeTitle(person.name),
    testid: "merge",
    submit: t.person.merge,
    fields: [h("p.quiet", {}, t.person.mergeText), into],
    async act() {
      if (!into.name || into.name === person.name) throw new Error(t.person.mergeOther);
      const answer = await api.post(at`people/${person.name}/merge`, { into: into.name });
      return () => {
        doneWithUndo(
          t.person.merged(person.name, into.name),
          answer?.gallery_version,
          () => (location.hash = to("people", person.name)),
        );
        location.hash = to("people", into.name);
      };
    },
  });
}

export async function forget(person) {
  const photos = h("input", { type: "checkbox", "data-testid": "forget-photos" });
  const text = [
    h("p", {}, t.person.forgetAsk(person.name)),
    h("p", {}, t.person.forgetNoUndo),
    h("label.check", {}, photos, h("span", {}, t.person.forgetPhotos)),
  ];
  if (
    !(await confirm({
      title: t.person.forgetTitle(person.name),
      text,
      yes: t.person.forgetYes,
      danger: true,
      typed: person.name,
    }))
  )
    return;
  await attempt(async () => {
    const told = await api.delete(at`people/${person.name}`, photos.checked ? { photos: true } : {});
    peopleChanged();
    await receipt(told);
    location.hash = "#/people";
  });
}

/** What was deleted, to be read, kept and printed. */
function receipt(told) {
  const lines = [
    t.receipt.faces(told.faces),
    t.receipt.events(told.events),
    told.photos_deleted?.length > 0 && t.receipt.photosDeleted(told.photos_deleted.length),
    !told.erased && t.receipt.notErased,
    !told.noticed && t.receipt.notNoticed,
  ].filter(Boolean);
  const body = h(
    "div.prose.receipt",
    { "data-testid": "receipt" },
    h("p", {}, h("strong.break", {}, t.receipt.title(told.forgotten))),
    h("p.quiet", {}, `${told.person_id} · ${moment(told.at)}`),
    h(
      "ul",
      {},
      lines.map((line) => h("li", {}, line)),
    ),
    told.photos?.length > 0 && [
      h("p", {}, t.receipt.photosLeft),
      h(
        "ul",
        {},
        told.photos.map((photo) => h("li.break", {}, h("code", {}, photo))),
      ),
    ],
  );
  const file = URL.createObjectURL(new Blob([JSON.stringify(told, null, 2)], { type: "application/json" }));
  const dialog = openDialog({
    title: t.receipt.head,
    body,
    testid: "receipt-dialog",
    foot: [
      h("a.button", { href: file, download: `receipt-${told.person_id}.json` }, t.receipt.keep),
      button(t.done, { kind: "main", testid: "receipt-done", click: () => dialog.close() }),
    ],
  });
  return dialog.closed.then(() => URL.revokeObjectURL(file));
}
