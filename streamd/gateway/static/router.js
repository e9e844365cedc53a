/**
 * Views by the address's fragment: `#/people/Ann%20Smith?from=live`.
 *
 * A view is a module with `show({root, params, query, signal})`: it puts its elements into `root`, and whatever it
 * started ends with `signal`.
 */
import { t } from "./strings.js";

const ROUTES = [
  { pattern: "/", nav: "live", load: () => import("./views/live.js") },
  { pattern: "/live/:camera", nav: "live", load: () => import("./views/camera.js") },
  { pattern: "/events", nav: "events", load: () => import("./views/events.js") },
  { pattern: "/people", nav: "people", load: () => import("./views/people.js") },
  { pattern: "/people/:name", nav: "people", load: () => import("./views/person.js") },
  { pattern: "/calibration", nav: "people", load: () => import("./views/calibration.js") },
  { pattern: "/unknowns", nav: "unknowns", load: () => import("./views/unknowns.js") },
  { pattern: "/unknowns/:id", nav: "unknowns", load: () => import("./views/unknown.js") },
  { pattern: "/cameras", nav: "system", load: () => import("./views/cameras.js") },
  { pattern: "/system", nav: "system", load: () => import("./views/system.js") },
  { pattern: "/log", nav: "system", load: () => import("./views/log.js") },
];

/** A fragment from parts that are encoded: to("people", name) is `#/people/Ann%20Smith`. */
export const to = (...parts) => `#/${parts.map(encodeURIComponent).join("/")}`;

/** The same with a query. */
export const toWith = (query, ...parts) => `${to(...parts)}?${new URLSearchParams(query)}`;

let leave = null;
let scrolls = new Map();
let shown = "";

/**
 * Shows views in `root` as the fragment changes.
 * @param {HTMLElement} root
 * @param {(nav: string) => void} onNav told which entry of the navigation is current
 */
export function startRouter(root, onNav) {
  const go = () => navigate(root, onNav).catch((error) => console.error(error));
  window.addEventListener("hashchange", go);
  return go();
}

/** Changes the query of the current address without showing the view anew. */
export function setQuery(query) {
  const [path] = location.hash.split("?");
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  history.replaceState(null, "", (path || "#/") + (text ? `?${text}` : ""));
}

/** Shows the current view again. */
export const refresh = () => window.dispatchEvent(new HashChangeEvent("hashchange"));

/** Has the page loaded again (boot.js): what a browser once failed to import it may never ask for again. */
export function notLoaded(error) {
  console.error(error);
  window.dispatchEvent(new Event("streamd:missing"));
}

async function navigate(root, onNav) {
  const [path, search = ""] = (location.hash.slice(1) || "/").split("?");
  const { route, params } = match(path);
  if (shown) scrolls.set(shown, window.scrollY);
  const again = shown === path;
  leave?.abort();
  const left = (leave = new AbortController());
  const view = await (route ? route.load() : import("./views/missing.js")).catch((error) =>
    left.signal.aborted ? console.error(error) : notLoaded(error),
  );
  if (left.signal.aborted || !view) return;
  onNav(route?.nav ?? "");
  const box = document.createElement("div");
  box.className = "view";
  root.replaceChildren(box);
  const first = shown === "";
  shown = path;
  await view.show({ root: box, params, query: new URLSearchParams(search), signal: left.signal });
  if (left.signal.aborted) return;
  const heading = box.querySelector("h1");
  document.title = heading ? `${heading.textContent} · ${t.app}` : t.app;
  if (heading && !first && !again) {
    heading.tabIndex = -1;
    heading.focus({ preventScroll: true });
  }
  window.scrollTo(0, scrolls.get(path) ?? 0);
}

function match(path) {
  for (const route of ROUTES) {
    const names = [...route.pattern.matchAll(/:(\w+)/g)].map((m) => m[1]);
    const found = path.match(new RegExp(`^${route.pattern.replace(/:\w+/g, "([^/]+)")}$`));
    if (found) return { route, params: Object.fromEntries(names.map((name, i) => [name, decode(found[i + 1])])) };
  }
  return { route: null, params: {} };
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
