/**
 * What WHEP and WHIP share: an offer with all its candidates, the POST, and the goodbye.
 */
import { ApiError, send } from "./api.js";
import { t } from "./strings.js";

const GATHER_MS = 2000;
const CONNECT_MS = 10000;

/**
 * Offers `connection` to `path` and waits until it is connected.
 * @param {RTCPeerConnection} peer
 * @param {string} path
 * @param {{signal: AbortSignal, headers?: object}} options
 * @returns {Promise<() => void>} says goodbye to the server
 */
export async function negotiate(peer, path, { signal, headers = {} }) {
  await peer.setLocalDescription(await peer.createOffer());
  await gathered(peer);
  const response = await send("POST", path, {
    body: peer.localDescription.sdp,
    headers: { "Content-Type": "application/sdp", ...headers },
    signal,
    anonymous: Boolean(headers.Authorization),
  });
  const resource = response.headers.get("Location");
  const goodbye = () => {
    if (resource)
      void send("DELETE", new URL(resource, location.origin).pathname, { headers, anonymous: true }).catch(() => {});
  };
  try {
    await peer.setRemoteDescription({ type: "answer", sdp: await response.text() });
    await connected(peer, signal);
  } catch (error) {
    goodbye();
    throw error;
  }
  return goodbye;
}

function gathered(peer) {
  if (peer.iceGatheringState === "complete") return Promise.resolve();
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, GATHER_MS);
    peer.addEventListener("icegatheringstatechange", () => {
      if (peer.iceGatheringState !== "complete") return;
      clearTimeout(timer);
      resolve();
    });
  });
}

function connected(peer, signal) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new ApiError(t.webrtc.noWay, { code: "unavailable" })), CONNECT_MS);
    const look = () => {
      if (peer.connectionState === "connected") resolve();
      else if (peer.connectionState === "failed" || peer.connectionState === "closed")
        reject(new ApiError(t.webrtc.noWay, { code: "unavailable" }));
      else return;
      clearTimeout(timer);
    };
    peer.addEventListener("connectionstatechange", look);
    signal.addEventListener(
      "abort",
      () => {
        clearTimeout(timer);
        reject(new DOMException("left", "AbortError"));
      },
      { once: true },
    );
    look();
  });
}

/** Calls back once the connection is lost. */
export function onLost(peer, lost) {
  let grace = 0;
  peer.addEventListener("connectionstatechange", () => {
    clearTimeout(grace);
    if (peer.connectionState === "failed" || peer.connectionState === "closed") lost();
    // A moment without packets mends itself more often than not.
    if (peer.connectionState === "disconnected") grace = setTimeout(lost, 4000);
  });
}
