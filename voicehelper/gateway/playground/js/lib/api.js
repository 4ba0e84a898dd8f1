// Requests to the public API, with the login's token, and its errors.
import { known, language, size, t } from "./i18n.js";

export class ApiError extends Error {
  /** @param {number} status @param {{code?: number, message?: string, details?: any, trace_id?: string}} body @param {number} retryAfter */
  constructor(status, body, retryAfter = 0) {
    super(body.message || `HTTP ${status}`);
    this.status = status;
    this.code = body.code ?? status * 100;
    this.details = body.details ?? {};
    this.traceId = body.trace_id ?? "";
    this.retryAfter = retryAfter;
  }
}

/** The server cannot be reached. */
export class Offline extends Error {}

/** What went wrong, for people. @param {any} error @returns {string} */
export function problem(error) {
  if (error instanceof Offline) return t("error.offline");
  if (!(error instanceof ApiError)) return t("error.page", { what: error?.message ?? String(error) });
  const reason = error.details?.reason;
  if (reason && known(`reason.${reason}`)) return t(`reason.${reason}`);
  if (error.code === 41301 && error.details?.limit_bytes) return t("error.tooLarge", { size: size(error.details.limit_bytes) });
  const wait = error.retryAfter ? t("error.wait", { seconds: Math.ceil(error.retryAfter) }) : "";
  return error.message + wait;
}

/** @param {Response} response @returns {Promise<ApiError>} */
async function failure(response) {
  const body = await response.json().catch(() => ({}));
  return new ApiError(response.status, body, Number(response.headers.get("retry-after")) || 0);
}

export class Api {
  /** @param {import("./login.js").Login} login */
  constructor(login) {
    this.login = login;
  }

  /**
   * One request. Renews the token where it has ended meanwhile.
   * @param {string} method @param {string} path below /api/v1 @param {any} [body]
   * @param {{signal?: AbortSignal, headers?: Record<string, string>}} [options]
   * @returns {Promise<Response>} one with a good status. Throws `ApiError`, `Offline`, or what aborted it.
   */
  async request(method, path, body, { signal, headers } = {}) {
    for (let attempt = 1; ; attempt++) {
      const all = { "accept-language": language(), authorization: `Bearer ${await this.login.token()}`, ...headers };
      if (body !== undefined) all["content-type"] = "application/json";
      const text = body === undefined ? undefined : JSON.stringify(body);
      const response = await reach(`/api/v1${path}`, { method, headers: all, body: text, signal });
      if (response.ok) return response;
      const error = await failure(response);
      if (error.status !== 401 || attempt > 1) throw this.login.noticed(error);
      await this.login.renew();
    }
  }

  /** @param {string} path */
  get = async (path) => (await this.request("GET", path)).json();
  /** @param {string} path @param {any} body */
  post = async (path, body) => (await this.request("POST", path, body)).json();
  /** @param {string} path @param {any} body */
  put = async (path, body) => (await this.request("PUT", path, body)).json();
  /** @param {string} path @param {any} body */
  patch = async (path, body) => (await this.request("PATCH", path, body)).json();
  /** @param {string} path */
  remove = async (path) => void (await this.request("DELETE", path));

  /**
   * Send a file. `fetch` does not tell how far it is; XMLHttpRequest does.
   * @param {string} path @param {File} file @param {(share: number) => void} progress @param {AbortSignal} signal
   * @returns {Promise<any>}
   */
  async upload(path, file, progress, signal) {
    const token = await this.login.token();
    return new Promise((resolve, reject) => {
      const request = new XMLHttpRequest();
      request.open("POST", `/api/v1${path}`);
      request.setRequestHeader("authorization", `Bearer ${token}`);
      request.setRequestHeader("accept-language", language());
      request.upload.onprogress = (event) => event.lengthComputable && progress(event.loaded / event.total);
      request.onload = () => {
        const body = parsed(request.responseText);
        if (request.status < 300) resolve(body);
        else reject(this.login.noticed(new ApiError(request.status, body, Number(request.getResponseHeader("retry-after")) || 0)));
      };
      request.onerror = () => reject(new Offline());
      request.onabort = () => reject(new DOMException("Aborted", "AbortError"));
      signal.addEventListener("abort", () => request.abort());
      const form = new FormData();
      form.append("file", file, file.name);
      request.send(form);
    });
  }
}

/** @param {string} url @param {RequestInit} options */
export async function reach(url, options) {
  try {
    return await fetch(url, { cache: "no-store", credentials: "omit", ...options });
  } catch (error) {
    if (options.signal?.aborted) throw error;
    throw new Offline();
  }
}

/** @param {string} path @param {any} body without a token. */
export async function open(path, body) {
  const headers = { "content-type": "application/json", "accept-language": language() };
  const response = await reach(`/api/v1${path}`, { method: "POST", headers, body: JSON.stringify(body) });
  if (!response.ok) throw await failure(response);
  return response.json();
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}
