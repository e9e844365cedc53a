/**
 * Fills a place with what a request gives; says so when it fails, and tries again when the daemon is back.
 */
import { isAbort } from "./api.js";
import { connection } from "./connection.js";
import { h, replace } from "./dom.js";
import { button } from "./parts.js";
import { icon } from "./icons.js";
import { t } from "./strings.js";

/**
 * @template T
 * @param {HTMLElement} root
 * @param {AbortSignal} signal of the view
 * @param {() => Promise<T>} ask
 * @param {(answer: T) => any} show gives what is put into `root`; nothing where it does that itself
 * @returns {Promise<boolean>} whether it could be shown
 */
export async function load(root, signal, ask, show) {
  const later = setTimeout(() => root.childElementCount || replace(root, skeleton()), 150);
  try {
    const answer = await ask();
    clearTimeout(later);
    if (signal.aborted) return false;
    const shown = show(answer);
    if (shown) replace(root, shown);
    return true;
  } catch (error) {
    clearTimeout(later);
    if (isAbort(error) || signal.aborted) return false;
    if (!error.code && !error.status) console.error(error);
    const again = () => load(root, signal, ask, show);
    replace(root, failure(error, again));
    connection.addEventListener("back", again, { once: true, signal });
    return false;
  }
}

const failure = (error, again) =>
  h(
    "div.empty",
    { role: "alert", "data-testid": "failure" },
    h("span.empty-sign", {}, icon("warning")),
    h("p.empty-title", {}, t.errors.title),
    h("p.empty-text", {}, error.message),
    button(t.tryAgain, { click: again, testid: "retry" }),
  );

const skeleton = () => h("div.skeleton", { "aria-hidden": "true" }, h("span"), h("span"), h("span"));
