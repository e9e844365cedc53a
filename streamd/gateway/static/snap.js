/**
 * Takes photos with this device's camera, in a dialog.
 */
import { openCamera, stopCamera } from "./devicecamera.js";
import { openDialog } from "./dialog.js";
import { h } from "./dom.js";
import { button, notice } from "./parts.js";
import { t } from "./strings.js";

const JPEG_QUALITY = 0.92;

/**
 * @param {(photo: File) => void} onPhoto called for each photo taken
 */
export function takePhotos(onPhoto) {
  const video = h("video.snap-video", { autoplay: true, muted: true, playsInline: true, "aria-label": t.snap.preview });
  const said = notice();
  const count = h("p.quiet", { role: "status", "data-testid": "snap-count" }, t.snap.hint);
  const shutter = button(t.snap.take, {
    sign: "photo",
    kind: "main",
    click: take,
    testid: "snap-take",
    disabled: true,
  });
  const other = button(t.snap.other, { sign: "flip", click: () => open(facing === "user" ? "environment" : "user") });
  const dialog = openDialog({
    title: t.snap.title,
    testid: "snap",
    body: h("div.stack", {}, said, video, count),
    foot: [other, shutter, button(t.done, { click: () => dialog.close(), testid: "snap-done" })],
  });
  let stream = null;
  let facing = "user";
  let taken = 0;
  void dialog.closed.then(() => stopCamera(stream));
  void open(facing);
  return dialog.closed;

  async function open(wanted) {
    facing = wanted;
    stopCamera(stream);
    shutter.disabled = true;
    try {
      stream = await openCamera(facing);
      if (!dialog.element.open) return stopCamera(stream);
      video.srcObject = stream;
      video.classList.toggle("mirrored", facing === "user");
      shutter.disabled = false;
      said.say("");
    } catch (error) {
      said.say(error.message);
    }
  }

  function take() {
    if (!video.videoWidth) return;
    const canvas = h("canvas", { width: video.videoWidth, height: video.videoHeight });
    canvas.getContext("2d").drawImage(video, 0, 0);
    canvas.toBlob(
      (blob) => {
        if (!blob) return said.say(t.snap.failed);
        taken++;
        count.textContent = t.snap.taken(taken);
        onPhoto(new File([blob], t.snap.file(taken), { type: "image/jpeg" }));
      },
      "image/jpeg",
      JPEG_QUALITY,
    );
  }
}
