// The list of conversations.
import { problem } from "../lib/api.js";
import { confirmed, notify, typed } from "../lib/dialogs.js";
import { byId, el, fill, iconButton, show } from "../lib/dom.js";
import { shortTime } from "../lib/i18n.js";

export class Sidebar {
  /** @param {import("../lib/api.js").Api} api @param {(id: string) => void} choose @param {(id: string) => void} removed */
  constructor(api, choose, removed) {
    this.api = api;
    this.choose = choose;
    this.removed = removed;
    this.list = byId("conversations");
    this.more = byId("conversations-more");
    this.more.addEventListener("click", () => this._page(this.next).catch((error) => notify(problem(error), "error")));
    this.chosen = "";
    /** @type {any[]} */
    this.items = [];
    this.next = null;
  }

  /** Fetch anew. Throws `ApiError`, `Offline`. */
  async load() {
    this.items = [];
    await this._page(null);
  }

  /** @param {string} id "" for none */
  mark(id) {
    this.chosen = id;
    this.draw();
  }

  /** @param {string} id @returns {string} */
  title(id) {
    return this.items.find((item) => item.id === id)?.title ?? "";
  }

  async _page(cursor) {
    const page = await this.api.get(`/conversations?limit=50${cursor ? `&cursor=${encodeURIComponent(cursor)}` : ""}`);
    this.items.push(...page.items);
    this.next = page.next_cursor;
    show(this.more, this.next !== null);
    this.draw();
  }

  draw() {
    fill(this.list, ...this.items.map((item) => this._row(item)));
    show(byId("conversations-none"), this.items.length === 0);
  }

  _row(item) {
    const here = item.id === this.chosen;
    const name = item.title ? el("span", { class: "title" }, item.title) : el("span", { class: "title", t: "conversation.untitled" });
    const open = el("a", { href: `#c/${item.id}`, class: "conversation", "aria-current": here ? "page" : null, onclick: () => this.choose(item.id) }, name, el("time", { datetime: item.updated_at }, shortTime(item.updated_at)));
    return el("li", { class: here ? "here" : "" }, open,
      iconButton("edit", ["rename.of", { name: item.title }], () => this._rename(item), { class: "icon-button small" }),
      iconButton("trash", ["delete.of", { name: item.title }], () => this._delete(item), { class: "icon-button small" }));
  }

  async _rename(item) {
    const title = await typed("rename", "conversation.name", item.title, "save");
    if (title === null || title === item.title) return;
    await this._try(async () => {
      Object.assign(item, await this.api.patch(`/conversations/${item.id}`, { version: item.version, title }));
      this.draw();
      this.choose(this.chosen);
    });
  }

  async _delete(item) {
    if (!(await confirmed("delete", ["conversation.delete", { name: item.title }], "delete"))) return;
    await this._try(async () => {
      await this.api.remove(`/conversations/${item.id}`);
      this.items = this.items.filter((each) => each !== item);
      this.draw();
      this.removed(item.id);
    });
  }

  async _try(act) {
    try {
      await act();
    } catch (error) {
      notify(problem(error), "error");
      await this.load().catch(() => {});
    }
  }
}
