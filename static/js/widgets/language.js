// A switch between languages, each named in itself.

import { button, h } from "../dom.js";
import { currentLanguage, LANGUAGES, rememberLanguage, t, useLanguage } from "../i18n.js";
import * as router from "../router.js";
import * as session from "../session.js";

export async function switchLanguage(name) {
  rememberLanguage(name);
  await useLanguage(name);
  // The choice follows the person to other devices.
  session.savePreferences({ language: name });
  router.refresh();
}

export function languageSwitch() {
  return h("div", { class: "language", role: "group", "aria-label": t("account.language") },
    Object.entries(LANGUAGES).map(([name, title]) => button(title, () => switchLanguage(name),
      { class: "quiet", lang: name, "aria-pressed": String(name === currentLanguage()) })));
}
