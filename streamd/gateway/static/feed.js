/**
 * New events as they happen: one connection for the whole page.
 *
 * The browser reconnects by itself after a cut, and asks for what it missed by Last-Event-ID. Where the daemon refuses
 * the connection (a session that ended, a restart), it is opened anew with pauses, and subscribers are told to read again.
 */
import { api } from "./api.js";
import { backoff } from "./backoff.js";
import { connection } from "./connection.js";

const ADDRESS = "/api/v1/events/stream";

class Feed extends EventTarget {
  #source = null;
  #timer = 0;
  #pauses = backoff({ first: 1000, most: 15000 });
  #wasOpen = false;

  start() {
    if (this.#source) return;
    const source = (this.#source = new EventSource(ADDRESS));
    source.addEventListener("event", (message) => this.#deliver(message.data));
    source.addEventListener("open", () => {
      this.#pauses.reset();
      connection.answered();
      if (this.#wasOpen) this.dispatchEvent(new Event("reopened"));
      this.#wasOpen = true;
    });
    source.addEventListener("error", () => this.#failed(source));
  }

  stop() {
    clearTimeout(this.#timer);
    this.#source?.close();
    this.#source = null;
  }

  /**
   * @param {(event: object) => void} listener
   * @param {AbortSignal} signal
   * @param {() => void} [reopened] events may have been missed
   */
  subscribe(listener, signal, reopened) {
    this.addEventListener("event", (event) => listener(event.detail), { signal });
    if (reopened) this.addEventListener("reopened", reopened, { signal });
  }

  #deliver(text) {
    try {
      this.dispatchEvent(new CustomEvent("event", { detail: JSON.parse(text) }));
    } catch (error) {
      console.warn("an event that cannot be read", error);
    }
  }

  async #failed(source) {
    void connection.probe();
    if (source.readyState !== EventSource.CLOSED || source !== this.#source) return;
    this.stop();
    this.#timer = setTimeout(() => this.#again(), this.#pauses.next());
  }

  async #again() {
    try {
      // Asks for a login where the session has ended.
      await api.get("cameras");
      this.start();
    } catch {
      this.#timer = setTimeout(() => this.#again(), this.#pauses.next());
    }
  }
}

export const feed = new Feed();
