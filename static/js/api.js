// The only module that talks to the server: JSON in and out, problem+json turned into ApiError.

import { channel } from "./events.js";
import { readEvents } from "./sse.js";

const BASE = "/api/v1";

export const unauthenticated = channel();

export class ApiError extends Error {
  constructor(status, problem = {}, retryAfter = 0) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.name = "ApiError";
    this.status = status;
    this.code = String(problem.type ?? "").split(":").pop();
    this.detail = problem.detail ?? "";
    this.title = problem.title ?? "";
    this.pointer = problem.pointer ?? "";
    this.requestId = problem.request_id ?? "";
    this.retryAfter = retryAfter;
  }

  get network() {
    return this.status === 0;
  }

  // Trying the same request again later can succeed.
  get temporary() {
    return this.network || this.status === 429 || this.status >= 500;
  }
}

export function url(path, query = {}) {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value !== undefined && value !== null && value !== "") search.set(name, value);
  }
  const text = search.toString();
  return BASE + path + (text ? `?${text}` : "");
}

async function problemOf(response) {
  try {
    return await response.json();
  } catch {
    return {};
  }
}

async function send(method, address, options) {
  const { body, type, signal, keepalive } = options;
  const headers = { Accept: options.accept ??
    "application/json, application/problem+json, */*;q=0.5" };
  const init = { method, headers, signal, keepalive, credentials: "same-origin",
    cache: "no-store" };
  if (type) {
    headers["Content-Type"] = type;
    init.body = body;
  } else if (body !== undefined) {
    headers["Content-Type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  try {
    return await fetch(address, init);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { type: "network" });
  }
}

async function read(response, text) {
  try {
    if (text) return await response.text();
    return response.status === 204 ? null : await response.json();
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { type: "network" });
  }
}

async function refusal(response, path) {
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  const error = new ApiError(response.status, await problemOf(response), retryAfter);
  if (error.status === 401 && !path.startsWith("/session")) unauthenticated.emit(error);
  return error;
}

export async function request(method, path, options = {}) {
  const response = await send(method, url(path, options.query), options);
  if (!response.ok) throw await refusal(response, path);
  return read(response, options.text);
}

// Yields the events of an answer as they come; aborting the signal ends the request.
export async function* stream(path, body, { signal } = {}) {
  const response = await send("POST", url(path),
    { body, signal, accept: "text/event-stream, application/problem+json" });
  if (!response.ok) throw await refusal(response, path);
  try {
    yield* readEvents(response.body);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, { type: "network" });
  }
}

export const get = (path, query, options) => request("GET", path, { query, ...options });
export const post = (path, body = {}, options) => request("POST", path, { body, ...options });
export const put = (path, body, options) => request("PUT", path, { body, ...options });
export const patch = (path, body, options) => request("PATCH", path, { body, ...options });
export const remove = (path, query) => request("DELETE", path, { query });

// Files of the page itself (locales); these may come from the browser's cache.
export async function asset(path) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin" });
  } catch {
    throw new ApiError(0, { type: "network" });
  }
  if (!response.ok) throw new ApiError(response.status);
  return response.json();
}

export async function* pages(path, query = {}) {
  let after;
  do {
    const page = await get(path, { ...query, after });
    yield page.items;
    after = page.next;
  } while (after);
}

export async function everything(path, query = {}) {
  const items = [];
  for await (const page of pages(path, { limit: 200, ...query })) items.push(...page);
  return items;
}
