/**
 * The faces of a camera's picture as buttons that lie over it. The server draws the boxes one sees; these can be clicked
 * and reached with the keyboard.
 */
import { api, at, isAbort } from "./api.js";
import { pause } from "./backoff.js";
import { h } from "./dom.js";
import { t } from "./strings.js";
import { visibility } from "./visible.js";

const EVERY_MS = 700;

export const nameOf = (face) => face.name ?? face.stranger ?? t.states[face.state];

/**
 * @param {string} camera
 * @param {{signal: AbortSignal, onChoose: (face: object) => void, onFaces?: (faces: object[]) => void}} options
 * @returns {HTMLElement} to be laid over the picture
 */
export function faceBoxes(camera, { signal, onChoose, onFaces }) {
  const layer = h("div.faces", { role: "group", "aria-label": t.live.faces, "data-testid": "faces" });
  /** @type {Map<string, HTMLElement & {face?: object}>} */
  const buttons = new Map();
  void follow();
  return layer;

  async function follow() {
    const seen = visibility(layer, signal);
    while (!signal.aborted) {
      try {
        await seen.wait();
        const { size, faces } = await api.get(at`cameras/${camera}/faces`, {}, { signal });
        // Without a size the picture was not looked at of late.
        if (size) layer.parentElement?.style.setProperty("--ratio", String(size[0] / size[1]));
        draw(size ?? [1, 1], faces);
        onFaces?.(faces);
        await pause(EVERY_MS, signal);
      } catch (error) {
        if (isAbort(error)) return;
        draw([1, 1], []);
        onFaces?.([]);
        await pause(EVERY_MS * 4, signal).catch(() => {});
      }
    }
  }

  function draw([width, height], faces) {
    const now = new Set(faces.map((face) => face.track));
    for (const [track, element] of buttons) {
      if (now.has(track) || element === document.activeElement) continue;
      element.remove();
      buttons.delete(track);
    }
    for (const face of faces) {
      const element = buttons.get(face.track) ?? make(face.track);
      element.face = face;
      element.className = `face face-${face.state}`;
      element.setAttribute("aria-label", t.live.face(nameOf(face), t.states[face.state]));
      element.title = nameOf(face);
      const [x1, y1, x2, y2] = face.box;
      element.style.left = `${(100 * x1) / width}%`;
      element.style.top = `${(100 * y1) / height}%`;
      element.style.width = `${(100 * (x2 - x1)) / width}%`;
      element.style.height = `${(100 * (y2 - y1)) / height}%`;
    }
  }

  function make(track) {
    const element = h("button.face", {
      type: "button",
      "data-testid": "face",
      on: { click: () => onChoose(element.face) },
    });
    buttons.set(track, element);
    layer.append(element);
    return element;
  }
}
