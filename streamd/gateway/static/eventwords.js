/**
 * Events as sentences, as `streamd events` says them.
 */
import { at as path, sentence, url } from "./api.js";
import { h } from "./dom.js";
import { figure, span } from "./format.js";
import { to } from "./router.js";
import { t } from "./strings.js";

/** Comings and goings: true, and seldom what one looks for. */
export const MINOR = new Set(["face.appeared", "face.moved", "face.left"]);
export const TYPES = [
  "face.identified",
  "face.unknown",
  "face.revised",
  "face.appeared",
  "face.moved",
  "face.left",
  "camera.online",
  "camera.offline",
  "person.enrolled",
  "person.forgotten",
  "gallery.online",
  "gallery.offline",
];

/** The state that an event's face is shown in. */
export function stateOf(event) {
  if (event.type === "camera.offline" || event.type === "gallery.offline") return "offline";
  if (event.type === "camera.online" || event.type === "gallery.online") return "online";
  if (event.identity || event.type.startsWith("person.")) return "known";
  return event.type === "face.appeared" || event.type === "face.moved" ? "deciding" : "unknown";
}

/** Who an event is about, as a link where there is something to open. */
function who(event) {
  if (event.identity?.name) return h("a.who", { href: to("people", event.identity.name) }, event.identity.name);
  if (event.stranger) return h("a.who", { href: to("unknowns", event.stranger) }, event.stranger);
  return h("span.who", {}, t.events.somebody);
}

/** What happened, in elements. */
export function whatHappened(event) {
  const camera = event.camera !== "-" && h("a.where", { href: to("live", event.camera) }, event.camera);
  const words = t.events.said[event.type];
  if (!words) return [event.type, " ", camera];
  const parts = words.split(/(\{who\}|\{camera\}|\{zones\}|\{for\})/);
  return parts.map((part) => {
    if (part === "{who}")
      return event.type === "face.revised" && !event.identity && !event.stranger
        ? h("span.who", {}, t.events.nobody)
        : who(event);
    if (part === "{camera}") return camera;
    if (part === "{zones}") return event.zones?.length ? event.zones.join(", ") : t.events.noZone;
    if (part === "{for}")
      return typeof event.evidence?.seconds === "number" ? t.events.after(span(event.evidence.seconds)) : "";
    return part;
  });
}

/** The same as one text, for screen readers and titles. */
export const asText = (event) => h("span", {}, whatHappened(event)).textContent;

/** How sure it is, in figures. */
export function figures(event) {
  if (event.message && !event.type.startsWith("face.")) return sentence(event.message);
  const words = [];
  const { similarity, threshold } = event.identity ?? {};
  if (event.type !== "face.left" && typeof similarity === "number")
    words.push(t.events.similarity(figure(similarity), figure(threshold)));
  if (typeof event.evidence?.best === "number") words.push(t.events.best(figure(event.evidence.best)));
  if (event.evidence?.views) words.push(t.events.views(event.evidence.views));
  if (typeof event.latency_ms === "number") words.push(t.events.latency(event.latency_ms));
  if (event.message) words.push(sentence(event.message));
  if (event.revised) words.push(t.events.corrected(event.revised.identity?.name ?? event.revised.stranger));
  return words.join(" · ");
}

/** The address of an event's picture: `face` or `frame`. */
export function snapshot(event, which) {
  const kept = event.snapshot?.[which];
  if (!kept) return null;
  const [day, file] = kept.split("/");
  return url(path`snapshots/${day}/${file}`);
}
