// The page: who is logged in, what is shown.
import { Api, ApiError, problem } from "./lib/api.js";
import { notify } from "./lib/dialogs.js";
import { byId, el, fill, icon, show } from "./lib/dom.js";
import { language, onLanguage, speak, t, translate } from "./lib/i18n.js";
import { Login } from "./lib/login.js";
import { Composer } from "./chat/composer.js";
import { Sidebar } from "./chat/sidebar.js";
import { SourcePanel } from "./chat/source.js";
import { Thread } from "./chat/thread.js";
import { Knowledge } from "./knowledge/knowledge.js";
import { Dock } from "./voice/dock.js";

const EXAMPLES = ["example.1", "example.2", "example.3"];

class Page {
  constructor() {
    this.login = new Login(() => this._loggedOut(t("login.ended")));
    this.api = new Api(this.login);
    /** @type {any} */
    this.me = null;
    this.source = new SourcePanel(this.api, () => this._may("knowledge:read"));
    this.thread = new Thread(this.api, this.source, { busy: (busy) => this.composer?.setBusy(busy), asked: () => this._asked() });
    this.composer = new Composer({ send: (text) => this._send(text), stop: () => this.thread.stop(), call: () => this._call() });
    this.sidebar = new Sidebar(this.api, () => this._title(), (id) => id === this.thread.conversation && this._go(""));
    this.knowledge = new Knowledge(this.api, (bases) => this._bases(bases));
    this.dock = new Dock({ token: () => this.login.token(), thread: this.thread, start: () => this._callStart(), created: (id) => this._created(id), changed: (on) => this._calling(on) });
    this._wire();
  }

  async begin() {
    translate(document.documentElement);
    this._title();
    if (await this.login.restore()) await this._loggedIn();
    else this._loggedOut("");
  }

  _wire() {
    byId("login-form").addEventListener("submit", (event) => (event.preventDefault(), this._login()));
    byId("logout").addEventListener("click", () => this._logout());
    byId("new").addEventListener("click", () => this._go(""));
    byId("menu").addEventListener("click", () => this._menu(true));
    byId("shade").addEventListener("click", () => this._menu(false));
    for (const button of document.querySelectorAll("[data-language]")) button.addEventListener("click", () => speak(language() === "zh" ? "en" : "zh"));
    onLanguage(() => (this.sidebar.draw(), this._title()));
    addEventListener("hashchange", () => this._route());
    addEventListener("keydown", (event) => event.key === "Escape" && this._menu(false));
    for (const slot of document.querySelectorAll("[data-icon]")) slot.prepend(icon(/** @type {any} */ (slot.getAttribute("data-icon"))));
    fill(byId("examples"), ...EXAMPLES.map((key) => el("li", {}, el("button", { type: "button", class: "example", t: key, onclick: () => this._send(t(key)) }))));
  }

  // -- who

  async _login() {
    const button = byId("login-go");
    const line = byId("login-error");
    button.disabled = true;
    show(line, false);
    try {
      await this.login.begin(byId("email").value.trim(), byId("password").value);
      byId("password").value = "";
      await this._loggedIn();
    } catch (error) {
      line.textContent = problem(error);
      show(line, true);
      byId("password").select();
    }
    button.disabled = false;
  }

  async _loggedIn() {
    try {
      this.me = await this.api.get("/me");
    } catch (error) {
      return this._loggedOut(problem(error));
    }
    byId("who").textContent = this.me.email;
    show(byId("login"), false);
    show(byId("app"), true);
    this.knowledge.allow(this._may("knowledge:write"));
    show(byId("to-knowledge"), this._may("knowledge:read"));
    show(byId("call"), this._may("voice:talk"));
    const parts = [this.sidebar.load(), this._may("knowledge:read") ? this.knowledge.load() : null, this._route()];
    for (const part of await Promise.allSettled(parts)) if (part.status === "rejected") notify(problem(part.reason), "error");
    this._title();
  }

  _loggedOut(why) {
    this.dock.close();
    this.me = null;
    this.thread.open("");
    show(byId("app"), false);
    show(byId("login"), true);
    byId("login-error").textContent = why;
    show(byId("login-error"), why !== "");
    byId("email").focus();
  }

  async _logout() {
    await this.login.end();
    location.hash = "";
    this._loggedOut("");
  }

  _may(permission) {
    return this.me?.permissions.includes(permission) ?? false;
  }

  // -- where

  _go(id) {
    const hash = id ? `#c/${id}` : "#";
    if (location.hash === hash || (!id && !location.hash)) this._route();
    else location.hash = hash;
  }

  async _route() {
    if (!this.me) return;
    this._menu(false);
    const inKnowledge = location.hash === "#knowledge";
    show(byId("knowledge"), inKnowledge);
    show(byId("chat"), !inKnowledge);
    byId("to-knowledge").toggleAttribute("aria-current", inKnowledge);
    if (inKnowledge) {
      await this.knowledge.shown(true);
      return this._title();
    }
    this.knowledge.shown(false);
    const [, id = ""] = /^#c\/([0-9a-f-]{36})$/.exec(location.hash) ?? [];
    if (id === this.thread.conversation && (id || this.thread.list.childElementCount === 0)) return this._focus(id);
    this.dock.close();
    try {
      await this.thread.open(id);
    } catch (error) {
      notify(problem(error), "error");
      if (error instanceof ApiError && error.status === 404) this._go("");
    }
    this._focus(id);
  }

  _focus(id) {
    this.sidebar.mark(id);
    this._title();
    this.composer.focus();
  }

  _title() {
    const inKnowledge = location.hash === "#knowledge";
    const title = inKnowledge ? t("knowledge") : this.sidebar.title(this.thread.conversation) || t("conversation.new");
    byId("title").textContent = title;
    document.title = `${title} · VoiceHelper`;
  }

  _menu(open) {
    byId("app").classList.toggle("menu-open", open);
    byId("menu").setAttribute("aria-expanded", String(open));
    if (open) byId("new").focus();
  }

  _bases(bases) {
    const scope = byId("scope");
    const kept = scope.value;
    fill(scope, el("option", { value: "", t: "scope.all" }), ...bases.map((base) => el("option", { value: base.id }, base.name)));
    scope.value = bases.some((base) => base.id === kept) ? kept : "";
    show(byId("scope-place"), bases.length > 0);
  }

  // -- what

  async _send(text) {
    if (this.dock.on && this.dock.type(text)) return;
    const scope = byId("scope").value;
    try {
      if (!this.thread.conversation) await this._create();
    } catch (error) {
      this.composer.put(text);
      return notify(problem(error), "error");
    }
    await this.thread.ask(text, scope ? [scope] : null);
  }

  async _create() {
    const made = await this.api.post("/conversations", {});
    this._created(made.id);
  }

  /** A conversation came to be: by a first question, or a call. */
  _created(id) {
    if (this.thread.conversation === id) return;
    this.thread.conversation = id;
    history.pushState(null, "", `#c/${id}`);
    this.sidebar.mark(id);
    if (this.dock.on) this._asked();
  }

  async _asked() {
    await this.sidebar.load().catch(() => {});
    this._title();
  }

  _call() {
    if (this.dock.on) this.dock.close();
    else this.dock.open();
  }

  _callStart() {
    const scope = byId("scope").value;
    const conversation = this.thread.conversation;
    return conversation ? { conversation_id: conversation } : { knowledge_bases: scope ? [scope] : [] };
  }

  _calling(on) {
    byId("app").classList.toggle("calling", on);
    byId("call").setAttribute("aria-pressed", String(on));
    if (!on) {
      this._asked();
      this.thread._mark();
      byId("call").focus({ preventScroll: true });
    }
  }
}

new Page().begin();
