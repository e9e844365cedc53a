/**
 * Says what was done to the gallery, and takes it back on demand.
 */
import { api } from "./api.js";
import { peopleChanged } from "./people.js";
import { t } from "./strings.js";
import { toast } from "./toast.js";

/**
 * @param {string} text
 * @param {number|null|undefined} version the change's number; null: the newest change is meant
 * @param {() => any} then called once it is undone
 */
export function doneWithUndo(text, version, then) {
  peopleChanged();
  toast(text, { action: { label: t.undo.action, run: () => undo(version, then) } });
}

/** Takes a change back. */
export async function undo(version, then) {
  await api.post("gallery/undo", version ? { version } : {});
  peopleChanged();
  toast(t.undo.done);
  await then?.();
}
