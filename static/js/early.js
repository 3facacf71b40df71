// Sets theme and language before the first paint, so that the page never flashes in another one.
(function () {
  try {
    const theme = localStorage.getItem("aileron.theme");
    if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
    const language = localStorage.getItem("aileron.language");
    if (language) document.documentElement.lang = language;
  } catch {
    // Storage may be blocked; the defaults are fine then.
  }
})();
