// Sets the theme before anything is painted; theme.js does the rest.
(() => {
  try {
    const wanted = localStorage.getItem("streamd.theme");
    if (wanted === "light" || wanted === "dark") document.documentElement.dataset.theme = wanted;
  } catch {
    /* Storage may be switched off: then the system's theme is used. */
  }
})();
