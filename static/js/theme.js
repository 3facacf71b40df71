// Switches between the system's theme, light and dark, and tells plots when colours change.

import { channel } from "./events.js";

export const THEMES = ["system", "light", "dark"];
export const themeChanged = channel();

const systemDark = matchMedia("(prefers-color-scheme: dark)");
systemDark.addEventListener("change", () => themeChanged.emit());

export function currentTheme() {
  return document.documentElement.dataset.theme ?? "system";
}

export function useTheme(name) {
  if (name === "light" || name === "dark") {
    document.documentElement.dataset.theme = name;
    localStorage.setItem("aileron.theme", name);
  } else {
    delete document.documentElement.dataset.theme;
    localStorage.removeItem("aileron.theme");
  }
  themeChanged.emit();
}

// The colour a custom property has now, resolved to something a canvas understands.
export function colour(property) {
  const probe = document.createElement("span");
  probe.style.color = `var(${property})`;
  document.body.append(probe);
  const value = getComputedStyle(probe).color;
  probe.remove();
  return value;
}
