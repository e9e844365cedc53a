"""What a page lacks for people who use a keyboard or a screen reader, or who see contrasts badly; checked by script."""

from __future__ import annotations

from playwright.sync_api import Page

_AUDIT = r"""
() => {
  const found = [];
  const seen = (e) => {
    const box = e.getBoundingClientRect(), style = getComputedStyle(e);
    return box.width > 0 && box.height > 0 && style.visibility !== "hidden" && +style.opacity > 0.01;
  };
  const named = (e) => {
    const ids = (e.getAttribute("aria-labelledby") ?? "").split(" ");
    const by = ids.map((id) => document.getElementById(id)?.textContent);
    const labels = [...(e.labels ?? [])].map((label) => label.textContent);
    return [e.getAttribute("aria-label"), ...by, ...labels, e.textContent, e.title].some((text) => text?.trim());
  };
  const excerpt = (e) => e.outerHTML.slice(0, 100);
  const scope = [...document.querySelectorAll("dialog[open]")].at(-1) ?? document.body;
  const controls = "a[href], button, input, select, textarea, summary, [tabindex='0'], dialog, nav, video";
  for (const e of scope.querySelectorAll(controls)) if (seen(e) && !named(e)) found.push(`no name: ${excerpt(e)}`);
  for (const e of document.querySelectorAll("img:not([alt])")) found.push(`no alt: ${excerpt(e)}`);
  const ids = [...document.querySelectorAll("[id]")].map((e) => e.id);
  for (const id of new Set(ids)) if (ids.filter((i) => i === id).length > 1) found.push(`id twice: ${id}`);
  for (const tag of ["main", "h1"]) {
    const count = document.querySelectorAll(tag).length;
    if (count !== 1) found.push(`${count} times <${tag}>`);
  }
  let level = 0;
  for (const e of document.querySelectorAll("#app :is(h1, h2, h3, h4)")) {
    if (!seen(e)) continue;
    if (+e.tagName[1] > level + 1) found.push(`heading out of order: ${e.textContent}`);
    level = +e.tagName[1];
  }
  const rgba = (css) => {
    const [r, g, b, a = 1] = css.match(/[\d.]+/g).map(Number);
    return css.startsWith("color(srgb") ? [r * 255, g * 255, b * 255, a] : [r, g, b, a];
  };
  const over = (top, under) => [0, 1, 2].map((i) => top[i] * top[3] + under[i] * (1 - top[3]));
  const luminance = (colour) => {  // WCAG 2.2, relative luminance
    const [r, g, b] = colour.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (e) => {
    const layers = [];
    for (let node = e; node; node = node.parentElement) {
      layers.push(rgba(getComputedStyle(node).backgroundColor));
      if (layers.at(-1)[3] === 1) break;
    }
    return layers.reverse().reduce((under, layer) => over(layer, under), [255, 255, 255]);
  };
  const texts = document.createTreeWalker(scope, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const e = texts.currentNode.parentElement;
    // Words that lie over a picture have no background that could be asked for.
    if (!texts.currentNode.data.trim() || !seen(e)) continue;
    if (e.closest("script, option, svg, .unseen, .skip, .tile-picture, :disabled")) continue;
    const style = getComputedStyle(e), under = behind(e), size = parseFloat(style.fontSize);
    const [light, dark] = [luminance(over(rgba(style.color), under)), luminance(under)].sort((a, b) => b - a);
    const needed = size >= 24 || (size >= 18.66 && +style.fontWeight >= 700) ? 3 : 4.5;
    const contrast = (light + 0.05) / (dark + 0.05);
    if (contrast < needed) found.push(`contrast ${contrast.toFixed(2)}: ${texts.currentNode.data.trim().slice(0, 40)}`);
  }
  const wider = document.documentElement.scrollWidth - innerWidth;
  if (wider > 0) found.push(`${wider} px wider than the window`);
  return found;
}
"""


def shortcomings(page: Page) -> list[str]:
    """A line each, of what is shown now: the topmost dialog, or the view."""
    found: list[str] = page.evaluate(_AUDIT)
    return found
