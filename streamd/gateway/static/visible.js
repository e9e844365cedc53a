/**
 * Whether something is to be seen: within the window, in a page that is not hidden.
 * @param {Element} element
 * @param {AbortSignal} signal
 * @returns {{now: () => boolean, wait: () => Promise<void>}}
 */
export function visibility(element, signal) {
  let within = false;
  let waiting = [];
  const now = () => within && document.visibilityState === "visible";
  const tell = () => {
    if (!now()) return;
    waiting.forEach((go) => go());
    waiting = [];
  };
  const observer = new IntersectionObserver((entries) => {
    within = entries.at(-1).isIntersecting;
    tell();
  });
  observer.observe(element);
  document.addEventListener("visibilitychange", tell, { signal });
  signal.addEventListener("abort", () => observer.disconnect(), { once: true });
  return { now, wait: () => (now() ? Promise.resolve() : new Promise((go) => waiting.push(go))) };
}
