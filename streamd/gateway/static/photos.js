/**
 * Photos of one person: chosen, dropped, pasted or taken; sent together, and what became of each.
 */
import { api, at, send, sentence } from "./api.js";
import { h, replace } from "./dom.js";
import { busy, button, iconButton, notice, state } from "./parts.js";
import { takePhotos } from "./snap.js";
import { t } from "./strings.js";
import { figure } from "./format.js";

const MOST_PHOTOS = 50;
const MOST_BYTES = 20e6;
/** Reasons that a person may overrule. */
const OVERRULED = new Set(["unlike", "closer_to_other", "near_duplicate"]);

/**
 * @param {{name: () => string, onEnrolled: (answer: object) => void, submit?: string, before?: () => boolean, signal?: AbortSignal}} options
 *   `before`: says whether the rest of the form is filled in
 * @returns {HTMLElement & {count: number}}
 */
export function photoPicker({ name, onEnrolled, submit = t.photos.submit, before = () => true, signal, capture }) {
  /** @type {{file: File, src: string, result: object|null}[]} */
  let photos = [];
  const input = h("input.unseen", {
    type: "file",
    accept: "image/*",
    multiple: true,
    "aria-label": t.photos.choose,
    "data-testid": "photo-input",
    on: {
      change: () => {
        add(input.files);
        input.value = "";
      },
    },
  });
  const list = h("ul.photos", { "aria-label": t.photos.list, "data-testid": "photos" });
  const said = notice();
  const go = button(submit, { kind: "main", click: () => enrol(false), testid: "photos-submit", disabled: true });
  const drop = h(
    "div.drop",
    {
      "data-testid": "drop",
      on: { dragover: over, dragleave: () => drop.classList.remove("drop-over"), drop: dropped },
    },
    input,
    h("p.drop-words", {}, t.photos.drop),
    h(
      "div.row.row-middle",
      {},
      button(t.photos.choose, { sign: "photo", click: () => input.click(), testid: "photos-choose" }),
      button(t.photos.take, {
        sign: "camera",
        click: () => takePhotos((photo) => add([photo])),
        testid: "photos-take",
      }),
      capture,
    ),
  );
  document.addEventListener("paste", pasted, { signal });
  const element = h("div.stack", { "data-testid": "photo-picker" }, drop, list, said, h("div.row.row-end", {}, go));
  return Object.defineProperty(element, "count", { get: () => photos.length });

  function over(event) {
    event.preventDefault();
    drop.classList.add("drop-over");
  }
  function dropped(event) {
    event.preventDefault();
    drop.classList.remove("drop-over");
    add(event.dataTransfer.files);
  }
  function pasted(event) {
    if (element.isConnected && event.clipboardData?.files.length) add(event.clipboardData.files);
  }

  function add(files) {
    const refused = [];
    for (const file of files) {
      if (file.type && !file.type.startsWith("image/")) refused.push(t.photos.notPicture(file.name));
      else if (file.size > MOST_BYTES) refused.push(t.photos.tooLarge(file.name));
      else if (photos.length >= MOST_PHOTOS) refused.push(t.photos.tooMany(MOST_PHOTOS));
      else photos.push({ file, src: URL.createObjectURL(file), result: null });
    }
    said.say([...new Set(refused)].join(" "));
    draw();
  }
  function remove(photo) {
    URL.revokeObjectURL(photo.src);
    photos = photos.filter((p) => p !== photo);
    draw();
  }

  function draw() {
    const waiting = photos.filter((p) => !p.result).length;
    go.disabled = waiting === 0;
    go.querySelector("span").textContent = waiting ? t.photos.submitCount(submit, waiting) : submit;
    replace(list, photos.map(card));
  }
  function card(photo) {
    const { result } = photo;
    return h(
      "li.photo",
      { class: result ? (result.accepted ? "photo-taken" : "photo-refused") : "", "data-testid": "photo" },
      h("img", { src: photo.src, alt: photo.file.name }),
      h(
        "div.photo-words",
        {},
        h("p.break", {}, photo.file.name),
        result?.accepted && state("known", t.photos.accepted(figure(result.quality))),
        result &&
          !result.accepted && [
            state("trouble", t.photos.refused),
            h("p", {}, sentence(t.photos.reasons[result.reason]?.what ?? result.message)),
            h("p.quiet", {}, t.photos.reasons[result.reason]?.hint ?? ""),
          ],
        OVERRULED.has(result?.reason) &&
          button(t.photos.force, { kind: "quiet", click: () => enrol(true, [photo]), testid: "photo-force" }),
      ),
      !result?.accepted && iconButton(t.photos.remove(photo.file.name), "close", { click: () => remove(photo) }),
    );
  }

  async function enrol(force, chosen = photos.filter((p) => !p.result)) {
    if (!before() || chosen.length === 0) return;
    said.say("");
    const body = new FormData();
    for (const { file } of chosen) body.append("photo", file, file.name);
    try {
      const answer = await busy(go, async () =>
        (await send("POST", at`people/${name()}/photos`, { body, query: force ? { force: true } : {} })).json(),
      );
      answer.photos.forEach((result, i) => chosen[i] && (chosen[i].result = result));
      if (answer.accepted) said.say(t.photos.done(answer.accepted, chosen.length), "good");
      else said.say(t.photos.none);
      onEnrolled(answer);
    } catch (error) {
      said.say(error.message);
    }
    draw();
  }
}

/** Who a face of a camera's picture of now is: enrols it. */
export const enrolFromCamera = (camera, who, face) =>
  api.post(at`cameras/${camera}/enroll`, { person: who, ...(face.track ? { track: face.track } : { box: face.box }) });
