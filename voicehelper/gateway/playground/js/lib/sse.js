// Server-sent events read from a response's body.

/** @typedef {{id: string, event: string, data: any}} ServerEvent */

/** Cuts a stream of text into events. */
export class SseParser {
  constructor() {
    this.rest = "";
  }

  /** @param {string} text the next piece @returns {ServerEvent[]} the events it completes. */
  feed(text) {
    const blocks = (this.rest + text).replace(/\r\n?/g, "\n").split("\n\n");
    this.rest = blocks.pop() ?? "";
    return blocks.map(parse).filter((event) => event !== null);
  }
}

/** @param {string} block @returns {ServerEvent|null} null for comments. */
function parse(block) {
  const fields = { id: "", event: "message", data: /** @type {string[]} */ ([]) };
  for (const line of block.split("\n")) {
    const [, name, value] = /^(\w+): ?(.*)$/.exec(line) ?? [];
    if (name === "data") fields.data.push(value);
    else if (name === "id" || name === "event") fields[name] = value;
  }
  if (!fields.data.length) return null;
  return { id: fields.id, event: fields.event, data: JSON.parse(fields.data.join("\n")) };
}

/** The events of a response, until its body ends. @param {Response} response @returns {AsyncGenerator<ServerEvent>} */
export async function* events(response) {
  if (!response.body) return;
  const parser = new SseParser();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      yield* parser.feed(value);
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
