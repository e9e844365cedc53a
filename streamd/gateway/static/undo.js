/**
 * Says what was done to the gallery, and takes it back on demand.
 */
import { api } from "./api.js";
import { peopleChanged } from "./people.js";
import { t } from "./strings.js";
import { toast } from "./toast.js";

/**
 * @param {string} text
 * @param {number|null|undefined} version the change's number, where the answer gave it
 * @param {() => any} then called once it is undone
 */
export function doneWithUndo(text, version, then) {
  peopleChanged();
  // Asked for now: until somebody clicks, others may have changed something too.
  const wanted = version ? Promise.resolve(version) : newest();
  toast(text, { action: { label: t.undo.action, run: async () => undo(await wanted, then) } });
}

const newest = () =>
  api.get("gallery/changes", { limit: 1 }).then(
    ([change]) => change?.version,
    () => null,
  );

/** Takes a change back. */
export async function undo(version, then) {
  await api.post("gallery/undo", version ? { version } : {});
  peopleChanged();
  toast(t.undo.done);
  await then?.();
}
