/**
 * Adds a person: a name, and photos of them from files, from this device's camera, or from a camera that streamd watches.
 */
import { api, at } from "./api.js";
import { openDialog } from "./dialog.js";
import { h, replace } from "./dom.js";
import { faceBoxes, nameOf } from "./faceboxes.js";
import { busy, button, field, notice } from "./parts.js";
import { personField } from "./people.js";
import { enrolFromCamera, photoPicker } from "./photos.js";
import { keepFresh } from "./stills.js";
import { t } from "./strings.js";

/**
 * @param {{name?: string}} [options] `name`: photos are added to this person
 * @returns {{closed: Promise<string|undefined>}} with the name of who was enrolled
 */
export function addPerson({ name: given = "" } = {}) {
  let enrolled;
  const who = personField({ label: t.people.name, value: given, testid: "new-name", autofocus: !given });
  const consent = h("input.input", {
    type: "text",
    maxlength: 1000,
    placeholder: t.people.consentPlaceholder,
    "data-testid": "new-consent",
  });
  const said = notice();
  const named = () => {
    said.say(who.name ? "" : t.people.nameFirst);
    if (!who.name) who.input.focus();
    return Boolean(who.name);
  };
  const left = new AbortController();
  const live = h("div", { "data-testid": "from-live" });
  const picker = photoPicker({
    name: () => who.name,
    before: named,
    submit: t.people.enrol,
    signal: left.signal,
    onEnrolled: taken,
    capture: button(t.people.fromLive, {
      sign: "live",
      testid: "from-live-open",
      click: () => live.childElementCount || void fromLive(live, { named, who, taken, signal: left.signal }),
    }),
  });
  const body = h("div.stack", {}, said, who, field(t.people.consent, consent, t.people.consentHint), picker, live);
  const dialog = openDialog({
    title: given ? t.people.addPhotos : t.people.add,
    body,
    wide: true,
    testid: "add-person-dialog",
    foot: [button(t.done, { testid: "add-person-done", click: () => dialog.close(enrolled) })],
  });
  return {
    closed: dialog.closed.then((value) => {
      left.abort();
      return value ?? enrolled;
    }),
  };

  async function taken(answer) {
    if (!answer.accepted) return;
    enrolled = answer.person;
    if (consent.value.trim())
      await api
        .patch(at`people/${enrolled}`, { consent: consent.value.trim() })
        .catch((error) => said.say(error.message));
  }
}

/** A camera's picture of now; a click on a face in it enrols that. */
async function fromLive(root, { named, who, taken, signal }) {
  const choice = h("select.input", { "data-testid": "live-camera" });
  const stage = h("div.stage.stage-small");
  const said = notice();
  const chosen = h("p.quiet", { role: "status" }, t.people.clickFace);
  replace(
    root,
    h("section.inset.stack", { "aria-label": t.people.fromLive }, field(t.people.camera, choice), stage, chosen, said),
  );
  let watching = null;
  try {
    const cameras = (await api.get("cameras", {}, { signal })).filter((c) => c.online);
    if (!cameras.length) return said.say(t.people.noneOnline);
    choice.append(...cameras.map((c) => h("option", { value: c.name }, c.name)));
    choice.addEventListener("change", look);
    look();
    stage.scrollIntoView({ block: "center" });
    choice.focus({ preventScroll: true });
  } catch (error) {
    said.say(error.message);
  }

  function look() {
    watching?.abort();
    watching = new AbortController();
    signal.addEventListener("abort", () => watching.abort(), { once: true });
    const camera = choice.value;
    const image = h("img", { alt: t.player.label(camera) });
    replace(
      stage,
      h("div.player", {}, image),
      faceBoxes(camera, { signal: watching.signal, onChoose: (face) => enrol(camera, face) }),
    );
    void keepFresh(image, camera, {
      signal: watching.signal,
      width: 800,
      onError: (error) => said.say(error.message),
      onPicture: () => {},
    });
  }

  async function enrol(camera, face) {
    if (!named()) return;
    said.say("");
    try {
      chosen.textContent = t.people.enrolling(nameOf(face));
      const answer = await busy(choice, () => enrolFromCamera(camera, who.name, face));
      const [photo] = answer.photos ?? [];
      if (answer.accepted) said.say(t.people.enrolledFromLive(who.name), "good");
      else said.say(t.photos.reasons[photo?.reason]?.what ?? photo?.message ?? t.photos.none);
      chosen.textContent = t.people.clickFace;
      await taken({ person: who.name, ...answer });
    } catch (error) {
      said.say(error.message);
    }
  }
}
