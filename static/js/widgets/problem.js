// Says in the reader's language what went wrong with a request, and what to do about it.

import { ApiError } from "../api.js";
import { t } from "../i18n.js";

export function problemText(error) {
  if (!(error instanceof ApiError)) throw error;
  if (error.network) return t("error.network");
  if (error.status === 429) return t("error.rate", { n: Math.max(1, error.retryAfter) });
  if (error.status >= 500) return t("error.server", { id: error.requestId });
  return error.message;
}
