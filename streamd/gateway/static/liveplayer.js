/**
 * One camera in large: video, where the browser and the network can; else a stream of pictures; else a picture a second.
 * What is shown, and why it is not more, is said in words.
 */
import { at, isAbort, url } from "./api.js";
import { backoff, pause } from "./backoff.js";
import { connection } from "./connection.js";
import { h, replace } from "./dom.js";
import { keepFresh } from "./stills.js";
import { t } from "./strings.js";
import { watch } from "./whep.js";

const FIRST_PICTURE_MS = 6000;

/**
 * @param {string} camera
 * @param {AbortSignal} signal
 * @param {(text: string, how: "video"|"pictures"|"stills"|"trying"|"offline") => void} say
 * @returns {HTMLElement} where the picture is
 */
export function livePlayer(camera, signal, say) {
  const box = h("div.player", { "data-testid": "player" });
  let run = new AbortController();
  const begin = () => {
    run = new AbortController();
    const { signal: mine } = run;
    void play(box, camera, mine, (text, how) => {
      if (mine.aborted) return;
      box.dataset.how = how;
      say(text, how);
    });
  };
  signal.addEventListener("abort", () => run.abort(), { once: true });
  // What was shown in place of video while the daemon was away is not good enough any more, or has ended.
  connection.addEventListener(
    "back",
    () => {
      if (box.dataset.how === "video") return;
      run.abort();
      begin();
    },
    { signal },
  );
  begin();
  return box;
}

async function play(box, camera, signal, say) {
  const pauses = backoff({ first: 1500, most: 20000 });
  let reason = "";
  for (let tries = 0; tries < 2 && !signal.aborted; tries++) {
    try {
      say(tries ? t.player.again : t.player.connecting, "trying");
      await video(box, camera, signal, say);
      tries = -1; // It had played: it is worth trying again.
      pauses.reset();
      reason = t.player.lost;
    } catch (error) {
      if (isAbort(error) || signal.aborted) return;
      reason = error.message;
      if (error.status === 406 || error.code === "unsupported") break;
    }
    await pause(pauses.next(), signal).catch(() => {});
  }
  if (signal.aborted) return;
  try {
    await pictures(box, camera, signal, () => say(t.player.pictures(reason), "pictures"));
  } catch {
    if (signal.aborted) return;
    stills(box, camera, signal, say, reason);
  }
}

/** Resolves when the video ended by itself. */
async function video(box, camera, signal, say) {
  if (!("RTCPeerConnection" in window)) throw Object.assign(new Error(t.player.noWebrtc), { code: "unsupported" });
  const element = h("video", {
    autoplay: true,
    muted: true,
    playsInline: true,
    "aria-label": t.player.label(camera),
    "data-testid": "video",
  });
  const once = new AbortController();
  const stop = () => once.abort();
  signal.addEventListener("abort", stop, { once: true });
  try {
    let lost;
    const ended = new Promise((resolve) => (lost = resolve));
    replace(box, element);
    await watch(element, camera, { signal: once.signal, onLost: lost });
    say(t.player.video, "video");
    await Promise.race([ended, new Promise((resolve) => once.signal.addEventListener("abort", resolve))]);
  } finally {
    signal.removeEventListener("abort", stop);
    stop();
  }
}

/** MJPEG: resolves once the first picture is there, and the stream goes on. */
function pictures(box, camera, signal, shown) {
  const image = h("img", { alt: t.player.label(camera), "data-testid": "mjpeg" });
  signal.addEventListener("abort", () => image.removeAttribute("src"), { once: true });
  return new Promise((resolve, reject) => {
    const fail = () => {
      clearTimeout(timer);
      image.removeAttribute("src");
      reject(new Error(t.player.noPictures));
    };
    const timer = setTimeout(fail, FIRST_PICTURE_MS);
    image.addEventListener("error", fail, { once: true });
    image.addEventListener(
      "load",
      () => {
        clearTimeout(timer);
        shown();
        resolve();
      },
      { once: true },
    );
    image.src = url(at`cameras/${camera}/stream.mjpeg`, { width: 1280, annotated: true });
    replace(box, image);
  });
}

function stills(box, camera, signal, say, reason) {
  const image = h("img", { alt: t.player.label(camera), "data-testid": "stills" });
  replace(box, image);
  void keepFresh(image, camera, {
    signal,
    width: 1280,
    onPicture: () => say(t.player.stills(reason), "stills"),
    onError: (error) => say(t.player.offline(error.message), "offline"),
  });
}
