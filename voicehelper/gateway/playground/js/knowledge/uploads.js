// Files on their way: chosen or dropped, sent one after another, followed until they are indexed.
import { problem } from "../lib/api.js";
import { byId, el, fill, icon, iconButton } from "../lib/dom.js";
import { size, t } from "../lib/i18n.js";

export class Uploads {
  /** @param {import("../lib/api.js").Api} api @param {() => void} stored told after each file */
  constructor(api, stored) {
    this.api = api;
    this.stored = stored;
    this.base = "";
    this.list = byId("uploads");
    this.chain = Promise.resolve();
    const drop = byId("drop");
    const input = byId("files");
    input.addEventListener("change", () => (this.add([...input.files]), (input.value = "")));
    byId("choose").addEventListener("click", () => input.click());
    let depth = 0;
    const area = byId("knowledge");
    area.addEventListener("dragenter", (event) => (event.preventDefault(), drop.classList.toggle("over", ++depth > 0)));
    area.addEventListener("dragleave", () => drop.classList.toggle("over", --depth > 0));
    area.addEventListener("dragover", (event) => event.preventDefault());
    area.addEventListener("drop", (event) => {
      event.preventDefault();
      drop.classList.toggle("over", (depth = 0) > 0);
      this.add([...(event.dataTransfer?.files ?? [])]);
    });
  }

  /** @param {File[]} files to the chosen knowledge base */
  add(files) {
    if (!this.base) return;
    for (const file of files) {
      const upload = new Upload(file, this.base);
      this.list.prepend(upload.node);
      this.chain = this.chain.then(() => upload.run(this.api).then(this.stored, () => {}));
    }
  }
}

class Upload {
  constructor(file, base) {
    this.file = file;
    this.base = base;
    this.abort = new AbortController();
    this.bar = el("progress", { max: "1", label: ["upload.progress", { name: file.name }] });
    this.bar.value = 0;
    this.status = el("span", { class: "faint", role: "status" }, el("span", { t: "upload.waiting" }));
    this.cancel = iconButton("close", ["upload.cancel", { name: file.name }], () => this._cancel(), { class: "icon-button small" });
    this.node = el("li", { class: "document upload" }, icon("upload"), el("div", { class: "document-text" }, el("span", { class: "document-name" }, file.name), this.bar, this.status), this.cancel);
  }

  async run(api) {
    if (this.abort.signal.aborted) return;
    try {
      await api.upload(`/knowledge/bases/${this.base}/documents`, this.file, (share) => this._progress(share), this.abort.signal);
      this.node.remove(); // from now on it is in the list of documents, with its state
    } catch (error) {
      if (!this.abort.signal.aborted) this._fail(problem(error));
    }
  }

  _progress(share) {
    this.bar.value = share;
    const what = share < 1 ? ["upload.sending", { percent: Math.round(share * 100), size: size(this.file.size) }] : "upload.checking";
    fill(this.status, el("span", { t: what }));
  }

  _fail(text) {
    this.node.classList.add("failed");
    this.bar.remove();
    this.status.className = "why";
    this.status.setAttribute("role", "alert");
    fill(this.status, t("upload.failed", { why: text }));
  }

  _cancel() {
    this.abort.abort();
    this.node.remove();
  }
}
