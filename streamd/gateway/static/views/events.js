/**
 * What happened, newest first, by day; new events come in by themselves.
 */
import { api } from "../api.js";
import { h, replace } from "../dom.js";
import { eventRow } from "../eventrow.js";
import { eventFilters } from "../eventfilters.js";
import { MINOR, asText } from "../eventwords.js";
import { feed } from "../feed.js";
import { day, dayKey } from "../format.js";
import { load } from "../loading.js";
import { button, empty, head } from "../parts.js";
import { setQuery } from "../router.js";
import { t } from "../strings.js";
import { attempt } from "../toast.js";

const PAGE = 50;
/** Rows that stay in the page; older ones go when new ones keep coming. */
const MOST_ROWS = 2000;

export async function show({ root, query, signal }) {
  const filter = Object.fromEntries(
    ["camera", "type", "person", "from", "until", "minor"].map((key) => [key, query.get(key) ?? ""]),
  );
  const timeline = h("div.timeline", { "data-testid": "timeline" });
  const news = h("p.unseen", { role: "status", "aria-live": "polite", "data-testid": "event-news" });
  const fresh = button("", {
    kind: "main",
    sign: "events",
    testid: "show-new",
    hidden: true,
    click: () => {
      window.scrollTo({ top: 0 });
      fresh.hidden = true;
    },
  });
  fresh.classList.add("fresh-button");
  root.append(
    head(t.events.title, { lead: t.events.lead }),
    eventFilters(filter, () => {
      setQuery(filter);
      void read();
    }),
    news,
    fresh,
    timeline,
  );
  let missed = false;
  feed.subscribe(arrived, signal, () => {
    missed = true;
    if (window.scrollY < 200) atTop();
  });
  window.addEventListener("scroll", () => window.scrollY < 100 && atTop(), { signal, passive: true });
  let reading = null;
  let waiting = 0;
  await read();

  function read() {
    reading?.abort();
    const mine = (reading = new AbortController());
    signal.addEventListener("abort", () => mine.abort(), { once: true });
    return load(
      timeline,
      mine.signal,
      () => page(null, mine.signal),
      (first) => pages(first, mine.signal),
    );
  }

  /** Whoever looks further down is not disturbed: what may have been missed is read when they come back. */
  function atTop() {
    fresh.hidden = true;
    if (!missed) return;
    missed = false;
    void read();
  }

  function page(before, pageSignal) {
    const { camera, type, person, from, until } = filter;
    return api.get(
      "events",
      { camera, type, person, from: asTime(from), until: asTime(until), before, limit: PAGE },
      { signal: pageSignal },
    );
  }

  /** Draws the first page, and reads further ones as their end comes into sight. */
  function pages({ events, next }, pageSignal) {
    const end = h("div.timeline-end");
    replace(timeline, end);
    append(events, end);
    let following = next;
    let busy = false;
    const more = button(t.events.older, { click: further, testid: "older" });
    const observer = new IntersectionObserver((entries) => entries.at(-1).isIntersecting && further(), {
      rootMargin: "600px",
    });
    pageSignal.addEventListener("abort", () => observer.disconnect(), { once: true });
    mark();
    observer.observe(end);

    async function further() {
      if (busy || following === null) return;
      busy = true;
      await attempt(async () => {
        const answer = await page(following, pageSignal);
        append(answer.events, end);
        following = answer.next;
      });
      busy = false;
      mark();
      // The end may still be in sight, where all that came was hidden.
      observer.unobserve(end);
      observer.observe(end);
    }
    function mark() {
      const none = !timeline.querySelector(".event");
      replace(
        end,
        following !== null
          ? more
          : none
            ? empty(
                filtered() ? t.events.noneMatch : t.events.none,
                filtered() ? t.events.noneMatchText : t.events.noneText,
                null,
                "events",
              )
            : h("p.quiet.centre", {}, t.events.end),
      );
    }
  }

  function append(events, end) {
    for (const event of events)
      if (shown(event))
        dayOf(event, () => timeline.insertBefore(section(event), end))
          .querySelector("ol")
          .append(eventRow(event));
  }

  function arrived(event) {
    if (!matches(event)) return;
    const end = timeline.querySelector(".timeline-end");
    if (!end) return;
    end.querySelector(".empty")?.remove();
    dayOf(event, () => {
      const made = section(event);
      timeline.prepend(made);
      return made;
    })
      .querySelector("ol")
      .prepend(eventRow(event, { fresh: true }));
    const rows = timeline.querySelectorAll(".event");
    if (rows.length > MOST_ROWS) rows[rows.length - 1].remove();
    if (!MINOR.has(event.type)) news.textContent = asText(event);
    if (window.scrollY > 300) {
      waiting = fresh.hidden ? 1 : waiting + 1;
      fresh.hidden = false;
      fresh.querySelector("span").textContent = t.events.fresh(waiting);
    }
  }

  function dayOf(event, make) {
    return timeline.querySelector(`[data-day="${dayKey(event.at)}"]`) ?? make();
  }
  function section(event) {
    return h(
      "section.day",
      { data: { day: dayKey(event.at) } },
      h("h2.day-name", {}, day(event.at)),
      h("ol.event-list"),
    );
  }

  /** Comings and goings are left out, unless they are asked for. */
  function shown(event) {
    return Boolean(filter.minor || filter.type) || !MINOR.has(event.type);
  }
  function matches(event) {
    const { camera, type, person, from, until } = filter;
    if (!shown(event) || (camera && event.camera !== camera) || (type && event.type !== type)) return false;
    if (person && event.identity?.name !== person) return false;
    return !(from && new Date(event.at) < new Date(from)) && !(until && new Date(event.at) > new Date(until));
  }
  function filtered() {
    return ["camera", "type", "person", "from", "until"].some((key) => filter[key]);
  }
}

/** A local date and time as the API takes it. */
const asTime = (local) => (local ? new Date(local).toISOString() : null);
