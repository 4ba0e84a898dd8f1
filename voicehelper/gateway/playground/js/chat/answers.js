// An answer's events, each once, whatever happens to the connection.
import { ApiError, Offline } from "../lib/api.js";
import { events } from "../lib/sse.js";

const LAST = new Set(["message.completed", "message.stopped", "error"]);
const PATIENCE_MS = 60_000;
const HEADERS = { accept: "text/event-stream" };

/**
 * Ask, and follow the answer to its end.
 * @param {import("../lib/api.js").Api} api
 * @param {string} path of the request that begins the answer @param {any} body
 * @param {(waiting: boolean) => void} cut told when the connection is lost, and when it is back
 * @param {AbortSignal} signal
 * @returns {AsyncGenerator<import("../lib/sse.js").ServerEvent>} the last one is `message.completed`, `message.stopped`
 *   or `error`. Throws `ApiError` when it cannot begin, `Offline` when the server stays away.
 */
export async function* ask(api, path, body, cut, signal) {
  const key = crypto.getRandomValues(new Uint32Array(4)).join("-"); // one question, however often it has to be sent
  const begin = () => api.request("POST", path, body, { signal, headers: { ...HEADERS, "idempotency-key": key } });
  yield* follow(api, begin, null, cut, signal);
}

/** Go on with an answer that is being written. @param {any} message the answer as stored */
export async function* goOn(api, message, cut, signal) {
  yield* follow(api, null, place(message), cut, signal);
}

/** @param {any} message */
const place = (message) => ({ path: `/conversations/${message.conversation_id}/messages/${message.id}/events`, seen: "" });

async function* follow(api, begin, at, cut, signal) {
  let silentSince = 0;
  for (let pause = 300; ; pause = Math.min(pause * 2, 5000)) {
    try {
      const response = await (at ? resume(api, at, signal) : begin());
      if (response.status === 204) return;
      if (silentSince) cut(false);
      for await (const event of events(response)) {
        silentSince = 0;
        pause = 300;
        if (event.event === "message.created") at = place(event.data.answer);
        if (at && event.id) at.seen = event.id;
        if (event.event === "error" && !event.id && at) break; // only this connection is at its end
        yield event;
        if (LAST.has(event.event)) return;
      }
    } catch (error) {
      if (signal.aborted || !passing(error)) throw error;
      pause = Math.max(pause, error.retryAfter * 1000 || 0);
    }
    if (!silentSince) {
      silentSince = Date.now();
      cut(true);
    }
    if (Date.now() - silentSince > PATIENCE_MS) throw new Offline();
    await new Promise((resolve) => setTimeout(resolve, pause));
    signal.throwIfAborted();
  }
}

function resume(api, at, signal) {
  const headers = at.seen ? { ...HEADERS, "last-event-id": at.seen } : HEADERS;
  return api.request("GET", at.path, undefined, { signal, headers });
}

/** A network that broke (reading throws TypeError), or a server that is away for a moment. */
function passing(error) {
  return error instanceof Offline || error instanceof TypeError || (error instanceof ApiError && (error.status === 502 || error.status === 503));
}
