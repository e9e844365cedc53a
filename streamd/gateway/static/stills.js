/**
 * A picture that is fetched anew about once a second, while it is to be seen, and only so many at once.
 */
import { at, isAbort, send } from "./api.js";
import { pause } from "./backoff.js";
import { visibility } from "./visible.js";

const EVERY_MS = 1000;
const AFTER_ERROR_MS = 4000;
const AT_ONCE = 3;
const WIDTHS = [320, 480, 640, 960];
let running = 0;
const queue = [];

async function turn() {
  if (running >= AT_ONCE) await new Promise((go) => queue.push(go));
  running++;
}
function done() {
  running--;
  queue.shift()?.();
}

/** The next of a few widths, so that the daemon need not scale to every single one. */
function widthFor(image) {
  const shown = image.clientWidth * Math.min(2, devicePixelRatio);
  return WIDTHS.find((width) => width >= shown * 0.9) ?? WIDTHS.at(-1);
}

/**
 * @param {HTMLImageElement} image
 * @param {string} camera
 * @param {{signal: AbortSignal, width?: number, onPicture?: () => void, onError?: (error: Error) => void, wanted?: () => boolean}} options
 *   `width`: in pixels; without it, about as wide as it is shown
 *   `wanted`: false while there is no use in asking
 */
export async function keepFresh(image, camera, { signal, width, onPicture, onError, wanted = () => true }) {
  const seen = visibility(image, signal);
  let shown = "";
  signal.addEventListener("abort", () => URL.revokeObjectURL(shown), { once: true });
  while (!signal.aborted) {
    try {
      await seen.wait();
      if (!wanted()) {
        await pause(EVERY_MS, signal);
        continue;
      }
      await turn();
      try {
        if (signal.aborted) return;
        const response = await send("GET", at`cameras/${camera}/picture.jpg`, {
          query: { width: width ?? widthFor(image), annotated: true },
          signal,
        });
        const next = URL.createObjectURL(await response.blob());
        image.src = next;
        await image.decode().catch(() => {});
        URL.revokeObjectURL(shown);
        shown = next;
        onPicture?.();
      } finally {
        done();
      }
      await pause(EVERY_MS, signal);
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      onError?.(error);
      await pause(AFTER_ERROR_MS, signal).catch(() => {});
    }
  }
}
