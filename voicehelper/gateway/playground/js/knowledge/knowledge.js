// Knowledge bases and their documents.
import { problem } from "../lib/api.js";
import { confirmed, notify, typed } from "../lib/dialogs.js";
import { byId, el, fill, icon, iconButton, show } from "../lib/dom.js";
import { shortTime, size, t } from "../lib/i18n.js";
import { Uploads } from "./uploads.js";

const POLL_MS = 1000;
const UNFINISHED = new Set(["pending", "processing"]);

export class Knowledge {
  /** @param {import("../lib/api.js").Api} api @param {(bases: any[]) => void} changed told when the list of bases is another */
  constructor(api, changed) {
    this.api = api;
    this.changed = changed;
    this.select = byId("base");
    this.documents = byId("documents");
    this.uploads = new Uploads(api, () => this._documents());
    /** @type {any[]} */
    this.bases = [];
    this.chosen = "";
    this.timer = 0;
    this.select.addEventListener("change", () => this._choose(this.select.value));
    byId("base-new").addEventListener("click", () => this._create());
    byId("base-delete").addEventListener("click", () => this._delete());
  }

  /** Whether the user may change anything. @param {boolean} may */
  allow(may) {
    for (const id of ["base-new", "base-delete", "drop"]) show(byId(id), may);
    this.may = may;
  }

  /** Fetch the bases. Throws `ApiError`, `Offline`. */
  async load() {
    this.bases = [];
    for (let cursor = ""; cursor !== null; ) {
      const page = await this.api.get(`/knowledge/bases?limit=200${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
      this.bases.push(...page.items);
      cursor = page.next_cursor;
    }
    fill(this.select, ...this.bases.map((base) => el("option", { value: base.id }, base.name)));
    show(byId("base-none"), this.bases.length === 0);
    show(byId("base-here"), this.bases.length > 0);
    this.changed(this.bases);
    const known = this.bases.some((base) => base.id === this.chosen);
    await this._choose(known ? this.chosen : (this.bases[0]?.id ?? ""));
  }

  /** The page is looked at, or not any more. @param {boolean} shown */
  async shown(shown) {
    this.looked = shown;
    clearTimeout(this.timer);
    if (shown) await this._documents();
  }

  async _choose(id) {
    this.chosen = id;
    this.select.value = id;
    this.uploads.base = id;
    fill(this.documents);
    if (this.looked) await this._documents();
  }

  async _documents() {
    clearTimeout(this.timer);
    const base = this.chosen;
    if (!base) return;
    try {
      const page = await this.api.get(`/knowledge/bases/${base}/documents?limit=200`);
      if (base !== this.chosen) return;
      this._draw(page.items, page.next_cursor !== null);
      if (this.looked && page.items.some((document) => UNFINISHED.has(document.status))) this.timer = setTimeout(() => this._documents(), POLL_MS);
    } catch (error) {
      notify(problem(error), "error");
    }
  }

  _draw(documents, more) {
    const indexed = documents.filter((document) => document.status === "indexed").length;
    const passages = documents.reduce((sum, document) => sum + document.chunk_count, 0);
    fill(byId("base-facts"), el("span", { t: ["base.facts", { documents: documents.length + (more ? "+" : ""), indexed, passages }] }));
    fill(this.documents, ...documents.map((document) => this._row(document)));
    show(byId("documents-none"), documents.length === 0);
  }

  _row(document) {
    const failed = document.status === "failed";
    const why = failed ? el("p", { class: "why" }, reason(document)) : null;
    return el("li", { class: `document ${document.status}` }, icon("file"),
      el("div", { class: "document-text" }, el("span", { class: "document-name" }, document.name),
        el("span", { class: "faint" }, `${size(document.size_bytes)} · ${shortTime(document.updated_at)}`, document.chunk_count ? " · " : "", document.chunk_count ? el("span", { t: ["document.passages", { count: document.chunk_count }] }) : null), why),
      el("span", { class: `badge ${document.status}` }, UNFINISHED.has(document.status) && el("span", { class: "spinner", "aria-hidden": "true" }), el("span", { t: `document.${document.status}` })),
      this.may ? iconButton("trash", ["delete.of", { name: document.name }], () => this._remove(document), { class: "icon-button small" }) : null);
  }

  async _remove(document) {
    if (!(await confirmed("delete", ["document.delete", { name: document.name }], "delete"))) return;
    await this._try(() => this.api.remove(`/knowledge/documents/${document.id}`));
    await this._documents();
  }

  async _create() {
    const name = await typed("base.new", "base.name", "", "create");
    if (name === null) return;
    await this._try(async () => {
      this.chosen = (await this.api.post("/knowledge/bases", { name })).id;
      await this.load();
    });
  }

  async _delete() {
    const base = this.bases.find((each) => each.id === this.chosen);
    if (!base || !(await confirmed("delete", ["base.delete", { name: base.name }], "delete"))) return;
    await this._try(async () => {
      await this.api.remove(`/knowledge/bases/${base.id}`);
      await this.load();
    });
  }

  async _try(act) {
    try {
      await act();
    } catch (error) {
      notify(problem(error), "error");
    }
  }
}

/** Why it failed, in the user's language where we know the reason. */
function reason(document) {
  const key = `reason.${document.reason}`;
  const text = t(key);
  return text === key ? document.error || t("reason.internal") : text;
}
