/**
 * Times, spans and amounts as people read them, in the browser's own language for dates and numbers.
 */
import { t } from "./strings.js";

const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dayLong = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long" });
const dayYear = new Intl.DateTimeFormat("en-GB", { weekday: "long", day: "numeric", month: "long", year: "numeric" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "long", timeStyle: "medium" });
const dateOnly = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium" });

const SAME_MS = 5000;
let aheadMs = 0;

/** What the daemon's clock says, in milliseconds: what it tells of is dated by that, and browsers' clocks may be wrong. */
export const now = () => Date.now() + aheadMs;

/** Takes note of the daemon's clock. @param {string|null} date the header Date of an answer that just came */
export function daemonSays(date) {
  const ms = Date.parse(date ?? "") - Date.now();
  if (Number.isFinite(ms)) aheadMs = Math.abs(ms) < SAME_MS ? 0 : ms;
}

export const time = (at) => clock.format(new Date(at));
export const moment = (at) => full.format(new Date(at));
export const date = (at) => dateOnly.format(new Date(at));

/** A key of the local day: 2026-03-01. */
export function dayKey(at) {
  const d = new Date(at);
  return `${d.getFullYear()}-${String(d.getMonth() + 1).padStart(2, "0")}-${String(d.getDate()).padStart(2, "0")}`;
}

/** Today, Yesterday, or the date. */
export function day(at) {
  const key = dayKey(at);
  const today = new Date(now());
  if (key === dayKey(today)) return t.time.today;
  if (key === dayKey(new Date(today.getFullYear(), today.getMonth(), today.getDate() - 1))) return t.time.yesterday;
  return (new Date(at).getFullYear() === today.getFullYear() ? dayLong : dayYear).format(new Date(at));
}

/** How long ago: 12 min ago. */
export function ago(at) {
  const s = Math.max(0, (now() - new Date(at).getTime()) / 1000);
  if (s < 5) return t.time.now;
  if (s < 30 * 86400) return t.time.ago(span(s).split(" ").slice(0, 2).join(" "));
  return date(at);
}

/** A span in its one or two largest units. */
export function span(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return t.time.s(s);
  if (s < 3600) return t.time.min(Math.floor(s / 60));
  if (s < 86400)
    return s % 3600 < 60 || s > 6 * 3600
      ? t.time.h(Math.floor(s / 3600))
      : `${t.time.h(Math.floor(s / 3600))} ${t.time.min(Math.floor((s % 3600) / 60))}`;
  return t.time.d(Math.floor(s / 86400));
}

export function bytes(n) {
  if (n === null || n === undefined) return t.none;
  const units = ["B", "kB", "MB", "GB", "TB"];
  let i = 0;
  for (; n >= 1000 && i < units.length - 1; i++) n /= 1000;
  return `${n < 10 && i ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

export const figure = (n, digits = 2) => (typeof n === "number" ? n.toFixed(digits) : t.none);
export const ms = (s) =>
  typeof s === "number" ? (s < 1 ? `${Math.round(s * 1000)} ms` : `${s.toFixed(1)} s`) : t.none;
export const count = (n) => (typeof n === "number" ? n.toLocaleString("en-GB") : t.none);
