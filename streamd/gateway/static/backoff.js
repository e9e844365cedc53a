/**
 * Pauses between attempts that double, each shortened at random so that many pages do not come at once.
 * @param {{first?: number, most?: number}} [limits] milliseconds
 */
export function backoff({ first = 1000, most = 30000 } = {}) {
  let pause = first;
  return {
    /** The next pause in milliseconds. */
    next() {
      const now = pause;
      pause = Math.min(most, pause * 2);
      return Math.round(now * (0.75 + Math.random() * 0.25));
    },
    reset() {
      pause = first;
    },
  };
}

/** Waits; rejects with AbortError when the signal comes first. */
export function pause(ms, signal) {
  return new Promise((resolve, reject) => {
    const left = () => reject(new DOMException("left", "AbortError"));
    if (signal?.aborted) return left();
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, ms);
    const stop = () => {
      clearTimeout(timer);
      left();
    };
    signal?.addEventListener("abort", stop, { once: true });
  });
}
