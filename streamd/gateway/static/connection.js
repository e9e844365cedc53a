/**
 * Whether the daemon answers. One place watches, so that a dead server is asked gently, and by nobody else.
 */
import { backoff } from "./backoff.js";

const PROBE = "/healthz";

class Connection extends EventTarget {
  up = true;
  #timer = 0;
  #pauses = backoff({ first: 1000, most: 8000 });

  /** A request was not answered at all. */
  silent() {
    if (!this.up) return;
    this.up = false;
    this.dispatchEvent(new Event("down"));
    this.#later();
  }

  /** A request was answered, whatever the answer. */
  answered() {
    if (this.up) return;
    this.up = true;
    clearTimeout(this.#timer);
    this.#pauses.reset();
    this.dispatchEvent(new Event("back"));
  }

  /** Asks at once. */
  async probe() {
    clearTimeout(this.#timer);
    try {
      // Any answer will do: a daemon that is not well still answers.
      await fetch(PROBE, { cache: "no-store" });
      this.answered();
    } catch {
      if (this.up) this.silent();
      else this.#later();
    }
  }

  #later() {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.probe(), this.#pauses.next());
  }
}

export const connection = new Connection();
