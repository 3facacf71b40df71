// Owns the page's only Trusted Types policy, the single door through which strings become markup.

const VENDOR_SCRIPT = /^\/static\/vendor\/[a-z]+\/[a-z.]+\.js$/;

const rules = {
  // Only safehtml.js asks for this, and it parses into a document that never runs or loads a thing.
  createHTML: (markup) => markup,
  createScriptURL: (url) => {
    if (!VENDOR_SCRIPT.test(url)) throw new TypeError(`script not allowed: ${url}`);
    return url;
  },
};

export const policy = window.trustedTypes
  ? window.trustedTypes.createPolicy("aileron", rules)
  : rules;
