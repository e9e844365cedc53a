// Sets the theme before anything is painted; theme.js does the rest.
(() => {
  try {
    const wanted = localStorage.getItem("streamd.theme");
    if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
  } catch {
    /* Storage may be switched off: then the system's theme is used. */
  }
})();

// Something of the page itself did not come: Chromium gives up on what it is loading when the network changes. The page
// loads itself again as soon as the daemon answers; what never comes is asked for every half minute, unless somebody has
// gone on to another view meanwhile, and may be writing there.
(() => {
  const FIRST_MS = 500;
  const LATER_MS = 30_000;
  const KEY = "streamd.reloaded";
  let missed = "";
  let waits = false;
  const again = async () => {
    await new Promise((done) => setTimeout(done, pause()));
    try {
      await fetch("/healthz", { cache: "no-store" });
    } catch {
      return again();
    }
    waits = false;
    if (location.href !== missed) return;
    remember();
    location.reload();
  };
  const missing = () => {
    missed = location.href;
    if (waits) return;
    waits = true;
    void again();
  };
  addEventListener("error", ({ target }) => target instanceof HTMLScriptElement && missing(), true);
  addEventListener("streamd:missing", missing);

  function pause() {
    try {
      return Date.now() - Number(sessionStorage.getItem(KEY)) < LATER_MS ? LATER_MS : FIRST_MS;
    } catch {
      return LATER_MS;
    }
  }
  function remember() {
    try {
      sessionStorage.setItem(KEY, String(Date.now()));
    } catch {
      /* Storage may be switched off. */
    }
  }
})();
