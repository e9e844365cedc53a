/**
 * A face in a live picture: who it is and why, and giving it a name.
 */
import { api, at, sentence } from "./api.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { openExplanation } from "./explanation.js";
import { nameOf } from "./faceboxes.js";
import { busy, button, notice, only, state } from "./parts.js";
import { peopleChanged, personField } from "./people.js";
import { enrolFromCamera } from "./photos.js";
import { to } from "./router.js";
import { t } from "./strings.js";
import { attempt } from "./toast.js";
import { doneWithUndo } from "./undo.js";

const LOOKED_THROUGH = 100;

/**
 * @param {string} camera
 * @param {{track: string, name: string|null, stranger: string|null, state: string, reason: string}} face
 */
export function openFace(camera, face) {
  const body = h(
    "div.stack",
    { "data-testid": "face-panel" },
    h("div", {}, state(face.state), h("p.why-reason", {}, face.reason ? sentence(face.reason) : t.live.noReason)),
    h(
      "div.row",
      {},
      face.name && h("a.button", { href: to("people", face.name), "data-testid": "open-person" }, t.live.openPerson),
      face.stranger &&
        h("a.button", { href: to("unknowns", face.stranger), "data-testid": "open-unknown" }, t.live.openUnknown),
      button(t.live.more, { sign: "why", kind: "quiet", testid: "face-why", click: why }),
    ),
    only("operator", naming) ?? h("p.quiet", {}, t.needs.operator),
  );
  const dialog = openDialog({ title: nameOf(face), body, testid: "face-dialog" });

  async function why() {
    await attempt(async () => {
      const { events } = await api.get("events", { camera, limit: LOOKED_THROUGH });
      const event = events.find((e) => e.track === face.track && e.type !== "face.moved");
      if (!event) throw Object.assign(new Error(t.live.noEvent), { code: "not_found" });
      dialog.close();
      openExplanation(event);
    });
  }

  function naming() {
    const who = personField({
      label: face.name ? t.live.addTo : t.live.nameIt,
      value: "",
      placeholder: t.live.namePlaceholder,
      testid: "face-name",
    });
    const go = button(t.live.enrol, { type: "submit", kind: "main", testid: "face-enrol" });
    const said = notice();
    const form = h(
      "form.stack.inset",
      {},
      who,
      said,
      h("p.quiet", {}, face.stranger ? t.live.assignHint : t.live.enrolHint),
      h(
        "div.row.row-end",
        {},
        face.name && button(t.live.addToThis(face.name), { click: () => enrol(face.name), testid: "face-add" }),
        go,
      ),
    );
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      void enrol(who.name);
    });
    return form;

    async function enrol(name) {
      if (!name) return;
      said.say("");
      try {
        const answer = await busy(go, () => give(name));
        if (answer.accepted === 0)
          return said.say(
            t.photos.reasons[answer.photos?.[0]?.reason]?.what ?? answer.photos?.[0]?.message ?? t.photos.none,
          );
        peopleChanged();
        dialog.close();
        doneWithUndo(t.live.enrolled(name), answer.gallery_version);
      } catch (error) {
        said.say(error.message);
      }
    }
  }
  /** A stranger's earlier sightings get the name as well, where they are still kept. */
  async function give(name) {
    if (!face.stranger || face.name) return enrolFromCamera(camera, name, face);
    return api.post(at`unknowns/${face.stranger}/assign`, { name }).catch((error) => {
      if (error.status === 404) return enrolFromCamera(camera, name, face);
      throw error;
    });
  }
}
