/**
 * A camera's live video by WHEP: one POST of an offer that only receives.
 */
import { at } from "./api.js";
import { negotiate, onLost } from "./webrtc.js";

/**
 * @param {HTMLVideoElement} video
 * @param {string} camera
 * @param {{signal: AbortSignal, onLost: () => void}} options
 * @returns {Promise<void>} resolved once it plays
 */
export async function watch(video, camera, { signal, onLost: lost }) {
  const peer = new RTCPeerConnection();
  let goodbye = () => {};
  const end = () => {
    goodbye();
    peer.close();
    video.srcObject = null;
  };
  signal.addEventListener("abort", end, { once: true });
  window.addEventListener("pagehide", end, { once: true, signal });
  peer.addTransceiver("video", { direction: "recvonly" });
  peer.addEventListener("track", (event) => {
    video.srcObject = event.streams[0] ?? new MediaStream([event.track]);
    video.play().catch(() => {});
  });
  try {
    goodbye = await negotiate(peer, at`/whep/${camera}`, { signal });
    if (signal.aborted) return goodbye();
    onLost(peer, () => !signal.aborted && lost());
  } catch (error) {
    peer.close();
    throw error;
  }
}
