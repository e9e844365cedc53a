/**
 * This device's own camera, and the errors that browsers give for it, in words.
 */
import { t } from "./strings.js";

/** Why the camera cannot be had at all, or null. */
export function cameraObstacle() {
  if (!window.isSecureContext) return t.device.insecure(location.origin.replace(/^http:/, "https:"));
  if (!navigator.mediaDevices?.getUserMedia) return t.device.unsupported;
  return null;
}

/**
 * @param {"user"|"environment"} facing front or back
 * @returns {Promise<MediaStream>} throws an Error in words
 */
export async function openCamera(facing, { width = 1280, height = 720 } = {}) {
  const obstacle = cameraObstacle();
  if (obstacle) throw new Error(obstacle);
  const video = {
    facingMode: { ideal: facing },
    width: { ideal: width },
    height: { ideal: height },
    frameRate: { ideal: 15, max: 30 },
  };
  try {
    return await navigator.mediaDevices.getUserMedia({ video, audio: false });
  } catch (error) {
    throw new Error(t.device.errors[error.name] ?? t.device.failed(error.message || error.name));
  }
}

export const stopCamera = (stream) => stream?.getTracks().forEach((track) => track.stop());

/** Keeps the screen on while `signal` lasts; where the browser cannot, nothing happens. */
export function keepAwake(signal) {
  let lock = null;
  const take = async () => {
    if (document.visibilityState !== "visible" || signal.aborted) return;
    lock = await navigator.wakeLock?.request("screen").catch(() => null);
  };
  // The lock is lost whenever the page is hidden.
  document.addEventListener("visibilitychange", take, { signal });
  signal.addEventListener("abort", () => lock?.release().catch(() => {}), { once: true });
  void take();
}
