// How long each stage of a spoken turn took.
import { el } from "../lib/dom.js";

const FIGURES = ["end_of_turn_ms", "asr_ms", "retrieval_ms", "first_token_ms", "first_sound_ms"];

/** @param {any} latency a message of the server @returns {HTMLElement} */
export function strip(latency) {
  const figures = FIGURES.map((name) => el("div", { class: `figure ${name}` }, el("dt", { t: `latency.${name}` }), el("dd", {}, shown(latency[name]))));
  return el("div", { class: "strip" }, bar(latency), el("dl", { label: "latency" }, ...figures));
}

const shown = (ms) => (ms === null || ms === undefined ? "–" : ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(2)} s`);

/** The same as parts of the time from the end of speech to the first sound. */
function bar({ end_of_turn_ms: turn, retrieval_ms: retrieval, first_token_ms: token, first_sound_ms: sound }) {
  const ends = { end_of_turn_ms: turn ?? 0, retrieval_ms: (turn ?? 0) + (retrieval ?? 0), first_token_ms: (turn ?? 0) + (token ?? retrieval ?? 0), first_sound_ms: sound ?? 0 };
  const total = Math.max(...Object.values(ends), 1);
  let from = 0;
  const parts = Object.entries(ends).map(([name, end]) => {
    const part = el("span", { class: `part ${name}` });
    part.style.flexGrow = String(Math.max(0, end - from) / total);
    from = Math.max(from, end);
    return part;
  });
  return el("div", { class: "bar", "aria-hidden": "true" }, ...parts);
}
