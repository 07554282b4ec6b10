// Before the page is drawn: the theme that was chosen here, if it is not the system's.
"use strict";
try {
  const chosen = localStorage.getItem("clipcodec-theme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
} catch {
  // no storage: the system's theme
}
