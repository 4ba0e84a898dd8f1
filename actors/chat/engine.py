"""llama.cpp in this process, as xllamacpp exposes it: a blocking call per completion, and a loopback listener.

xllamacpp always opens its HTTP listener. It is bound to loopback and locked with a random key; we use it only for what
the in-process call does not offer (tokenizer, state of the slots).
"""

import os
import secrets
import sys
import tempfile
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson

from actors.chat.llama_body import refused
from voicehelper.errors import ModelUnavailable

# Read when the engine's OpenMP is loaded. Its threads otherwise spin at each barrier, and on cores that others use too,
# spinning threads keep out the very thread they wait for: 1.9 instead of 37 tokens/s beside an embedder on 2 cores.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import xllamacpp

# A batch is the engine's unit of work: cancellation, and other requests' next token, wait for the one that runs. What
# goes into one is decided before (`fairness`): a piece of a prompt, and a token of each request that decodes.
BATCH_TOKENS = 128
# Whoever listens waits for the recogniser and for the voice; the text that is to be said next is seldom waited for.
_NICENESS = 10
_MAGIC = b"GGUF"
_ERRORS_ONLY = 1
_CALL_TIMEOUT_S = 10.0


class LlamaEngine:
    """One loaded GGUF model with `parallel` slots of `context_tokens` each.

    Duties: load, read a part of a prompt or run a completion in the calling thread, count tokens, save and restore what
    slots have read, unload.
    """

    def __init__(self, path: Path, *, context_tokens: int, parallel: int, threads: int) -> None:
        self._key = secrets.token_urlsafe(32)
        self._parallel = parallel
        self._saved = tempfile.TemporaryDirectory(prefix="voicehelper-slots-")
        params = _params(path, context_tokens, parallel, threads, self._key)
        params.slot_save_path = f"{self._saved.name}/"
        try:
            self._server: xllamacpp.Server | None = _yielding(lambda: xllamacpp.Server(params))
        except RuntimeError as error:
            raise ModelUnavailable(f"llama.cpp cannot load {path.name}: broken, or not enough memory") from error
        self._http = httpx.Client(
            base_url=self._server.listening_address,
            headers={"Authorization": f"Bearer {self._key}"},
            timeout=_CALL_TIMEOUT_S,
            trust_env=False,
        )
        # Unloading joins the engine's thread; left to the interpreter's teardown it may run too late and crash.
        self._unload = weakref.finalize(self, _drop, self.__dict__)

    def tokens(self, body: str) -> list[int]:
        """The prompt of the completion `body`. Raises `InvalidInput` when the engine can make none of it."""
        rendered = self._asked("POST", "/apply-template", body.encode())
        if rendered.is_error:
            raise refused(rendered.text)
        return self._tokenized(orjson.loads(rendered.content)["prompt"], parse_special=True)

    def read(self, tokens: Sequence[int], slot: int) -> None:
        """Let `slot` read the prompt `tokens`, in this thread, from where they differ from what it has read before."""
        body = {"prompt": tokens, "n_predict": 0, "id_slot": slot, "cache_prompt": True}
        self._running().handle_completions(orjson.dumps(body).decode(), _ignored)

    def complete(self, body: str, on_chunk: Callable[[str], bool]) -> None:
        """Run the completion that the JSON `body` asks for, in this thread, until its slot is free again.

        `on_chunk` gets JSON strings and returns True to stop.
        """
        self._running().handle_chat_completions(body, on_chunk)

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text, by the model's tokenizer. Raises `ModelUnavailable`."""
        return [len(self._tokenized(text, parse_special=False)) for text in texts]

    def busy_slots(self) -> int:
        """Slots that are evaluating or decoding right now."""
        return sum(slot["is_processing"] for slot in self._call("GET", "/slots"))

    def keep(self, slot: int, name: str) -> None:
        """Save what `slot`, which must be idle, has read, in the file `name`."""
        self._post(f"/slots/{slot}?action=save", {"filename": name})

    def recall(self, slot: int, name: str) -> None:
        """Give `slot` what was saved so, in place of what it has read: milliseconds, where reading takes seconds."""
        self._post(f"/slots/{slot}?action=restore", {"filename": name})

    def close(self) -> None:
        """Unload the model; running completions must have ended."""
        self._unload()

    def _running(self) -> xllamacpp.Server:
        if self._server is None:
            raise ModelUnavailable("The model is unloaded")
        return self._server

    def _tokenized(self, text: str, *, parse_special: bool) -> list[int]:
        body = {"content": text, "add_special": parse_special, "parse_special": parse_special}
        tokens: list[int] = self._post("/tokenize", body)["tokens"]
        return tokens

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        return self._call("POST", path, orjson.dumps(body))

    def _call(self, method: str, path: str, content: bytes | None = None) -> Any:
        response = self._asked(method, path, content)
        if response.is_error:
            raise ModelUnavailable(f"llama.cpp answers {response.status_code}")
        return orjson.loads(response.content)

    def _asked(self, method: str, path: str, content: bytes | None) -> httpx.Response:
        self._running()
        try:
            return self._http.request(method, path, content=content)
        except httpx.HTTPError as error:
            raise ModelUnavailable("llama.cpp does not answer") from error


def _ignored(_chunk: str) -> bool:
    return False


def _yielding(load: Callable[[], xllamacpp.Server]) -> xllamacpp.Server:
    """What `load` gives, its threads of lower priority than this one: on Linux that is a thread's own affair, and
    inherited by the threads it starts."""

    def lowered() -> xllamacpp.Server:
        if sys.platform == "linux":
            os.nice(_NICENESS)
        return load()

    with ThreadPoolExecutor(1) as starter:
        return starter.submit(lowered).result()


def _drop(state: dict[str, Any]) -> None:
    state["_http"].close()
    state["_server"] = None
    state["_saved"].cleanup()


def _params(path: Path, context_tokens: int, parallel: int, threads: int, key: str) -> xllamacpp.CommonParams:
    _check_file(path)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = context_tokens * parallel  # shared out evenly: each slot gets context_tokens
    params.n_parallel = parallel
    params.n_batch = BATCH_TOKENS
    params.n_ubatch = BATCH_TOKENS
    params.cpuparams.n_threads = threads
    params.cpuparams_batch.n_threads = threads
    params.slot_prompt_similarity = 0.01  # take the slot with the longest common prefix, however short
    params.cache_ram_mib = 0  # no second copy of idle prompts: each slot keeps its own
    params.fit_params = False  # never shrink the promised context silently
    params.api_keys = [key]
    params.ui = False
    params.verbosity = _ERRORS_ONLY
    return params


def _check_file(path: Path) -> None:
    try:
        with path.open("rb") as file:
            magic = file.read(len(_MAGIC))
    except OSError as error:
        raise ModelUnavailable(f"Model file {path.name} cannot be read: {error.strerror}") from error
    if magic != _MAGIC:
        raise ModelUnavailable(f"{path.name} is not a GGUF model file")
