// Light, dark, or as the system has it.

import { byId, setText } from "./dom.js";

const THEMES = ["system", "light", "dark"];

export function startTheme() {
  let theme = read();
  apply();
  byId("theme").addEventListener("click", () => {
    theme = THEMES[(THEMES.indexOf(theme) + 1) % THEMES.length];
    try {
      localStorage.setItem("theme", theme);
    } catch {
      // A browser that keeps nothing keeps this for the visit only.
    }
    apply();
  });

  function apply() {
    if (theme === "system") document.documentElement.removeAttribute("data-theme");
    else document.documentElement.setAttribute("data-theme", theme);
    setText(byId("theme"), `Theme: ${theme}`);
  }
}

function read() {
  try {
    const kept = localStorage.getItem("theme");
    return THEMES.includes(kept) ? kept : "system";
  } catch {
    return "system";
  }
}
