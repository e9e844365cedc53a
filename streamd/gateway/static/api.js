/**
 * Requests to the daemon: the CSRF header, errors in words, and a login in the middle of anything.
 */
import { connection } from "./connection.js";
import { daemonSays } from "./format.js";
import { t } from "./strings.js";

const BASE = "/api/v1/";

/** What the session contributes; `session.js` sets both. */
export const auth = {
  csrf: "",
  /**
   * Asks for a login; resolves to true once somebody is logged in. Who declined is asked again only where it is
   * `wanted`: not by every picture that refreshes itself.
   * @type {null | ((wanted: boolean) => Promise<boolean>)}
   */
  login: null,
  /** Fetches a new CSRF token. @type {null | (() => Promise<void>)} */
  renew: null,
};

/** A refusal, with a sentence for people in `message`. */
export class ApiError extends Error {
  /**
   * @param {string} message
   * @param {{status?: number, code?: string, retryAfter?: number, body?: any}} details
   */
  constructor(message, { status = 0, code = "", retryAfter = 0, body = null } = {}) {
    super(message);
    Object.assign(this, { status, code, retryAfter, body });
  }
}

/** A path with its values percent-encoded: at`people/${name}`. */
export function at(parts, ...values) {
  return parts.reduce((path, part, i) => path + encodeURIComponent(String(values[i - 1])) + part);
}

/** The address of a picture of the API. */
export function url(path, query = {}) {
  const search = new URLSearchParams();
  for (const [key, value] of Object.entries(query))
    if (value !== null && value !== undefined && value !== "") search.append(key, value);
  const text = search.toString();
  return BASE + path + (text ? `?${text}` : "");
}

/**
 * @param {string} method
 * @param {string} path under /api/v1/, or absolute
 * @param {{query?: object, json?: any, body?: any, headers?: object, signal?: AbortSignal, anonymous?: boolean}} [options]
 * @returns {Promise<Response>} a good one
 */
export async function send(method, path, options = {}) {
  let response = await attempt(method, path, options);
  if (response.status === 401 && !options.anonymous && auth.login) {
    if (!(await auth.login(method !== "GET")))
      throw new ApiError(t.errors.loggedOut, { status: 401, code: "unauthenticated" });
    response = await attempt(method, path, options);
  } else if (response.status === 403 && auth.renew && (await codeOf(response)) === "csrf") {
    await auth.renew();
    response = await attempt(method, path, options);
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

async function attempt(method, path, { query, json, body, headers = {}, signal }) {
  const target = path.startsWith("/") ? path : url(path, query);
  const all = { ...headers };
  if (method !== "GET" && auth.csrf && !all.Authorization) all["X-CSRF-Token"] = auth.csrf;
  if (json !== undefined) all["Content-Type"] = "application/json";
  try {
    const response = await fetch(target, {
      method,
      headers: all,
      body: json !== undefined ? JSON.stringify(json) : body,
      signal,
      credentials: "same-origin",
    });
    connection.answered();
    daemonSays(response.headers.get("Date"));
    return response;
  } catch (error) {
    if (error.name === "AbortError") throw error;
    connection.silent();
    throw new ApiError(t.errors.offline, { code: "offline" });
  }
}

async function codeOf(response) {
  return (
    await response
      .clone()
      .json()
      .catch(() => ({}))
  ).code;
}

async function refusal(response) {
  const body = await response.json().catch(() => ({}));
  const retryAfter = Number(response.headers.get("Retry-After")) || 0;
  let message = body.error || t.errors.status(response.status);
  if (response.status === 429) message = t.errors.throttled(retryAfter);
  else if (body.code === "forbidden") message = t.errors.forbidden(body.error);
  else if (response.status === 413) message = t.errors.tooLarge(body.error);
  return new ApiError(sentence(message), { status: response.status, code: body.code, retryAfter, body });
}

/** With a capital letter: the daemon's words are fragments. An address stays as it is. */
export const sentence = (words) =>
  !words || /^[a-z][a-z0-9+.-]*:\/\//.test(words) ? (words ?? "") : words[0].toUpperCase() + words.slice(1);

const answer = async (promise) => {
  const response = await promise;
  return response.status === 204 ? null : response.json();
};
export const api = {
  get: (path, query, options = {}) => answer(send("GET", path, { query, ...options })),
  post: (path, json = {}, options = {}) => answer(send("POST", path, { json, ...options })),
  put: (path, json, options = {}) => answer(send("PUT", path, { json, ...options })),
  patch: (path, json, options = {}) => answer(send("PATCH", path, { json, ...options })),
  delete: (path, query, options = {}) => answer(send("DELETE", path, { query, ...options })),
};

/** Whether an error is only that its view was left. */
export const isAbort = (error) => error?.name === "AbortError";
