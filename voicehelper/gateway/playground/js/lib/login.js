// The login of this tab: an access token, renewed in time. The refresh token is good for one use, so a second tab that
// was given a copy of it (a duplicated tab) has to log in for itself.
import { ApiError, Offline, open } from "./api.js";

const KEPT = "voicehelper.login";
const EARLY_MS = 90_000;

export class Login {
  /** @param {() => void} ended told when the login is over. */
  constructor(ended) {
    this.ended = ended;
    /** @type {{access: string, until: number, refresh: string, id: string}|null} */
    this.kept = null;
    /** @type {Promise<void>|null} */
    this.renewing = null;
    this.timer = 0;
    addEventListener("visibilitychange", () => document.visibilityState === "visible" && this._schedule());
  }

  /** Go on with the login this tab had before it was reloaded. @returns {Promise<boolean>} */
  async restore() {
    const text = sessionStorage.getItem(KEPT);
    if (!text) return false;
    const kept = JSON.parse(text);
    if (!(await owned(kept.id))) {
      sessionStorage.removeItem(KEPT);
      return false;
    }
    this.kept = kept;
    try {
      await this.token();
    } catch (error) {
      if (!(error instanceof Offline)) return false;
    }
    this._schedule();
    return this.kept !== null;
  }

  /** @param {string} email @param {string} password throws `ApiError`, `Offline`. */
  async begin(email, password) {
    const tokens = await open("/auth/login", { email, password });
    const id = crypto.getRandomValues(new Uint32Array(2)).join("");
    await owned(id);
    this._keep(tokens, id);
  }

  /** The access token, good for a while. Throws `ApiError` when the login is over. @returns {Promise<string>} */
  async token() {
    if (this.kept && Date.now() > this.kept.until - EARLY_MS / 3) await this.renew();
    if (!this.kept) throw new ApiError(401, { code: 40101 });
    return this.kept.access;
  }

  /** New tokens. Several at once are one. @returns {Promise<void>} */
  renew() {
    this.renewing ??= this._renew().finally(() => (this.renewing = null));
    return this.renewing;
  }

  async _renew() {
    if (!this.kept) throw new ApiError(401, { code: 40101 });
    const { refresh, id } = this.kept;
    try {
      this._keep(await open("/auth/refresh", { refresh_token: refresh }), id);
    } catch (error) {
      throw this.noticed(error);
    }
  }

  /** Look at an error that came back: a 401 ends the login. @template E @param {E} error @returns {E} */
  noticed(error) {
    if (error instanceof ApiError && error.status === 401 && this.kept) {
      this.forget();
      this.ended();
    }
    return error;
  }

  /** Log out here and on the server. */
  async end() {
    const access = this.kept?.access;
    this.forget();
    if (access) await fetch("/api/v1/auth/logout", { method: "POST", headers: { authorization: `Bearer ${access}` } }).catch(() => {});
  }

  forget() {
    this.kept = null;
    clearTimeout(this.timer);
    sessionStorage.removeItem(KEPT);
  }

  _keep(tokens, id) {
    this.kept = { access: tokens.access_token, until: Date.now() + tokens.expires_in * 1000, refresh: tokens.refresh_token, id };
    sessionStorage.setItem(KEPT, JSON.stringify(this.kept));
    this._schedule();
  }

  _schedule() {
    clearTimeout(this.timer);
    if (!this.kept) return;
    const wait = Math.max(1000, this.kept.until - Date.now() - EARLY_MS);
    this.timer = setTimeout(() => this.renew().catch((error) => error instanceof Offline && setTimeout(() => this._schedule(), 5000)), Math.min(wait, 2 ** 31 - 1));
  }
}

/** Whether this tab alone has the login `id`: a lock held as long as the tab lives. */
function owned(id) {
  if (!navigator.locks) return Promise.resolve(true);
  return new Promise((resolve) => {
    const waiting = AbortSignal.timeout(1500); // a page being reloaded lets go of it a moment later
    navigator.locks.request(`voicehelper.${id}`, { signal: waiting }, () => (resolve(true), new Promise(() => {}))).catch(() => resolve(false));
  });
}
