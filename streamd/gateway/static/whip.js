/**
 * Sends this device's camera by WHIP, and goes on sending: what breaks is begun again, with pauses.
 */
import { at, isAbort } from "./api.js";
import { backoff, pause } from "./backoff.js";
import { t } from "./strings.js";
import { negotiate, onLost } from "./webrtc.js";

const NEW_CAMERA_TRIES = 4;

/** @typedef {"connecting"|"sending"|"waiting"|"refused"} SendingState */

/**
 * @param {MediaStreamTrack} first the picture to send
 * @param {string} camera
 * @param {{token?: string, signal: AbortSignal, say: (state: SendingState, words: string) => void}} options
 * @returns {{exchange: (track: MediaStreamTrack) => Promise<void>, done: Promise<void>}} `exchange` sends another
 *   picture, in the same connection
 */
export function sendCamera(first, camera, { token, signal, say }) {
  let track = first;
  let sender = null;
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  return {
    async exchange(next) {
      track = next;
      await sender?.replaceTrack(next);
    },
    done: keepSending(),
  };

  async function keepSending() {
    const pauses = backoff({ first: 1000, most: 15000 });
    let missing = 0;
    while (!signal.aborted) {
      const peer = new RTCPeerConnection();
      try {
        say("connecting", t.phone.connecting);
        sender = peer.addTransceiver(track, { direction: "sendonly" }).sender;
        preferH264(peer);
        const goodbye = await negotiate(peer, at`/whip/${camera}`, { signal, headers });
        say("sending", t.phone.sending(camera));
        pauses.reset();
        await lost(peer, goodbye);
        say("waiting", t.phone.lost);
      } catch (error) {
        if (isAbort(error) || signal.aborted) return;
        // A camera that was made a moment ago is there after a few seconds.
        if (error.status === 404 && ++missing <= NEW_CAMERA_TRIES) say("connecting", t.phone.notYet);
        else if ([401, 403, 404].includes(error.status))
          return say(
            "refused",
            error.status === 401 || (token && error.status === 403) ? t.phone.badToken : error.message,
          );
        else say("waiting", t.phone.again(error.message));
      } finally {
        peer.close();
        sender = null;
      }
      await pauseOrNetwork(pauses.next(), signal);
    }
  }

  /** Resolves when the connection is gone, or is to end. */
  function lost(peer, goodbye) {
    return new Promise((resolve) => {
      onLost(peer, resolve);
      const end = () => {
        goodbye();
        resolve();
      };
      signal.addEventListener("abort", end, { once: true });
      window.addEventListener("pagehide", goodbye, { once: true, signal });
    });
  }
}

/** Phones encode H.264 in hardware; where they cannot, the order is left as it is. */
function preferH264(peer) {
  const codecs = globalThis.RTCRtpSender?.getCapabilities?.("video")?.codecs;
  const [transceiver] = peer.getTransceivers();
  if (!codecs || !transceiver.setCodecPreferences) return;
  const rank = (codec) => (codec.mimeType === "video/H264" ? 0 : codec.mimeType === "video/VP8" ? 1 : 2);
  transceiver.setCodecPreferences([...codecs].sort((a, b) => rank(a) - rank(b)));
}

/** A pause that ends early when the network is there again. */
async function pauseOrNetwork(ms, signal) {
  const online = new Promise((resolve) => window.addEventListener("online", resolve, { once: true, signal }));
  await Promise.race([pause(ms, signal), online]).catch(() => {});
}
