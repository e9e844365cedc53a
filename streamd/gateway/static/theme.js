/**
 * Light, dark, or as the system has it. boot.js applies a kept choice before the first paint.
 */
const KEY = "streamd.theme";
const dark = matchMedia("(prefers-color-scheme: dark)");

/** @returns {"light"|"dark"} what is shown now */
export function theme() {
  return document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
}

/** Exchanges light and dark, and keeps the choice. */
export function toggleTheme() {
  const next = theme() === "dark" ? "light" : "dark";
  document.documentElement.dataset.theme = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // Without storage the choice lasts as long as the page.
  }
  return next;
}

/** Calls back when the system's theme changes. */
export const onSystemTheme = (listener) => dark.addEventListener("change", listener);
