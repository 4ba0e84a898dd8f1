"""A question through the API against the bare engine with the same prompt: what we add, to the first token and in all.

    python -m benchmarks.bench_api [--questions 16] [--floor 16]

Starts an installation of its own with the sample knowledge base and asks it answerable questions over HTTP, one at a
time, each in a new conversation. After each answer its prompt is rebuilt from the answer's trace and run by a bare
llama.cpp in this process, with the same settings and after it has read the stable prefix too. Both report what they
reused, and a pair in which that differs is left out of the comparison.

Two engines never take the same time twice, so their difference is noise of hundreds of milliseconds. What we add is
therefore also taken from within each request: the asker's clock less what the request's own engine took until its first
token (the metric `voicehelper_chat_first_token_seconds`). The floor is the same way with a fake model that answers at
once. The guards hold back the first four characters, and what begins like a refusal until its sentence ends: that is
the model's time, not ours, and shown apart.
"""

import argparse
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from uuid import UUID

import orjson

from actors.chat.engine import LlamaEngine
from actors.chat.wire import read_chunk, request_body
from benchmarks.instance_rig import Metrics, Server, installation, settings_of, start, stop, warmed_up
from benchmarks.report import aims, at_least, at_most, quantiles, table
from tests.fakes.question_set import EvalQuestion, load_questions
from voicehelper.cli.client import ApiClient
from voicehelper.cli.sse import ServerEvent
from voicehelper.config import Settings
from voicehelper.embedded.models import model_path
from voicehelper.ports.chat import ChatRequest, ChatUsage
from voicehelper.rag.language import language_of
from voicehelper.rag.prompt import build_prompt, stable_prefix
from voicehelper.rag.rewrite import Standalone

FIRST_TOKEN_S = "voicehelper_chat_first_token_seconds"
RATE = "voicehelper_chat_tokens_per_second"
KNOWLEDGE = "sample"


@dataclass
class Asked:
    """One question over HTTP. Milliseconds since it was sent, by the asker's clock; `engine_*` by the engine's."""

    question: str
    text: str = ""
    at: dict[str, float] = field(default_factory=dict)
    timings: dict[str, float] = field(default_factory=dict)
    context: str = ""
    outcome: str = ""
    usage: ChatUsage = ChatUsage()
    engine_first: float = 0.0
    engine_decoding: float = 0.0

    @property
    def model_call(self) -> float:
        """From calling the model to its first token, by the gateway's clock."""
        return self.timings["first_token"] - self.timings["retrieve"] - self.timings["context"]

    @property
    def hop(self) -> float:
        """To the model's process and back."""
        return self.model_call - self.engine_first

    @property
    def added_to_first(self) -> float:
        """Until the first token could have reached the asker, without the engine: up to the event that says that the
        model is being called, as the asker saw it, and the way to the model and back."""
        return self.at["answering"] + self.hop

    @property
    def held(self) -> float:
        """What the guards kept the first text back for: the time the model took for some more tokens."""
        return self.at["delta"] - self.at["answering"] - self.model_call

    @property
    def added_at_end(self) -> float:
        """From the model's last token to the last event."""
        return self.at["message.completed"] - self.at["answering"] - self.model_call - self.engine_decoding


@dataclass
class Bare:
    """One run of the bare engine; milliseconds."""

    first: float
    whole: float
    text: str
    usage: ChatUsage


class BareEngine:
    """llama.cpp with the installation's settings and nothing around it."""

    def __init__(self, settings: Settings) -> None:
        chat = settings.chat
        self._rag = settings.rag
        self._engine = LlamaEngine(
            model_path(settings, chat.model),
            context_tokens=chat.context_tokens,
            parallel=chat.parallel,
            threads=chat.threads or _cores(),
        )
        self._complete(ChatRequest(stable_prefix(), max_tokens=1))

    def run(self, asked: Asked) -> Bare:
        """The same prompt."""
        language = language_of(asked.question)
        messages = build_prompt(Standalone(asked.question), asked.context, language, self._rag.history_tokens)
        return self._complete(ChatRequest(messages, max_tokens=self._rag.max_answer_tokens))

    def close(self) -> None:
        """Unload."""
        self._engine.close()

    def _complete(self, request: ChatRequest) -> Bare:
        extra = {"stream": True, "stream_options": {"include_usage": True}, "cache_prompt": True}
        body = orjson.dumps(request_body(request) | extra).decode()
        done = Bare(0.0, 0.0, "", ChatUsage())
        started = time.perf_counter()

        def on_chunk(raw: str) -> bool:
            chunk = read_chunk(raw)
            if chunk.text and not done.first:
                done.first = (time.perf_counter() - started) * 1000
            done.text += chunk.text
            done.usage = chunk.usage or done.usage
            return False

        self._engine.complete(body, on_chunk)
        done.whole = (time.perf_counter() - started) * 1000
        return done


class Asker:
    """Asks over HTTP and looks at the engine's own clock between two questions."""

    def __init__(self, server: Server) -> None:
        self.client = ApiClient.from_settings(settings_of(server))
        self.metrics = Metrics(server.api())
        self.client.me()  # logs in

    def ask(self, question: str) -> Asked:
        """One question in a conversation of its own."""
        conversation = self.client.create_conversation([KNOWLEDGE]).id
        before = self._engine_clock()
        asked = self._stream(conversation, question)
        after = self._engine_clock()
        if after[0] == before[0] + 1:
            asked.engine_first = (after[1] - before[1]) * 1000
        if after[2] == before[2] + 1:
            asked.engine_decoding = (asked.usage.completion_tokens - 1) / (after[3] - before[3]) * 1000
        return asked

    def _stream(self, conversation: UUID, question: str) -> Asked:
        asked = Asked(question)
        started = time.perf_counter()
        with closing(self.client.stream(conversation, question)) as events:
            for event in events:
                name = event.data["stage"] if event.name == "status" else event.name
                asked.at.setdefault(name, (time.perf_counter() - started) * 1000)
                _take(asked, event)
        return asked

    def _engine_clock(self) -> tuple[float, ...]:
        """Requests and seconds to their first tokens; answers and the sum of their speeds."""
        names = (f"{FIRST_TOKEN_S}_count", f"{FIRST_TOKEN_S}_sum", f"{RATE}_count", f"{RATE}_sum")
        return tuple(self.metrics.value(name) for name in names)


def _take(asked: Asked, event: ServerEvent) -> None:
    if event.name == "delta":
        asked.text += event.data["text"]
    elif event.name == "error":
        raise SystemExit(f"The question failed: {event.data}")
    elif event.name == "message.completed":
        facts: dict[str, Any] = event.data["message"]["metadata"]
        asked.timings, asked.usage = facts["timings_ms"], ChatUsage(**facts["usage"])
        asked.context, asked.outcome = facts["trace"]["context"], facts["outcome"]


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--questions", type=int, default=16, help="answers of the real model")
    parser.add_argument("--floor", type=int, default=16, help="answers of the fake model")
    arguments = parser.parse_args()
    questions = answerable()
    with installation() as server:
        start(server)
        asker, settings = Asker(server), settings_of(server)
        warmed_up(asker.metrics, settings.chat.parallel)
        engine = BareEngine(settings)
        pairs = list(measure(asker, engine, questions, arguments.questions))
        engine.close()
        stop(server)
        server.environment["VOICEHELPER_CHAT__BACKEND"] = "fake"
        start(server, "--no-sample")
        asker = Asker(server)
        floor = [asker.ask(question.question) for question in (questions * 4)[: arguments.floor + 2]][2:]
    report(pairs, [asked for asked in floor if "first_token" in asked.timings], settings)


def answerable() -> list[EvalQuestion]:
    """Questions of the sample base that stand alone and have an answer."""
    return [question for question in load_questions() if question.answerable and not question.history]


def measure(
    asker: Asker, engine: BareEngine, questions: Sequence[EvalQuestion], wanted: int
) -> Iterator[tuple[Asked, Bare]]:
    """Question by question: the API, then the bare engine. One that is refused after all does not count."""
    first, *rest = questions
    engine.run(asker.ask(first.question))  # brings connections and caches up on both sides
    found = 0
    for question in rest:
        asked = asker.ask(question.question)
        if asked.engine_first and asked.outcome == "answered":
            yield asked, engine.run(asked)
            found += 1
        if found == wanted:
            return


def report(pairs: Sequence[tuple[Asked, Bare]], floor: Sequence[Asked], settings: Settings) -> None:
    """Everything as Markdown."""
    same = [(asked, bare) for asked, bare in pairs if _comparable(asked, bare)]
    shown = [asked.at["delta"] for asked, _ in pairs]
    prompt = [asked.usage.prompt_tokens - asked.usage.cached_tokens for asked, _ in pairs]
    speed = [prompt[n] / asked.engine_first * 1000 for n, (asked, _) in enumerate(pairs)]
    reused = median(asked.usage.cached_tokens for asked, _ in pairs)
    decoding = [(a.usage.completion_tokens - 1) / a.engine_decoding * 1000 for a, _ in pairs if a.engine_decoding]
    written = median(asked.usage.completion_tokens for asked, _ in pairs)
    print(
        f"{len(pairs)} grounded answers of {settings.chat.model} ({settings.chat.parallel} slots, {_cores()} threads),"
        f" one at a time. Prompts of {median(a.usage.prompt_tokens for a, _ in pairs):.0f} tokens, of which"
        f" {reused:.0f} (the stable prefix) were reused and {median(prompt):.0f} read at {median(speed):.0f} tokens/s;"
        f" answers of {written:.0f} tokens at {median(decoding):.0f} tokens/s.\n"
    )
    _compared(same, len(pairs))
    _added(pairs, floor)
    added = median(asked.added_to_first for asked, _ in pairs)
    print(
        aims(
            at_most("first text of a grounded answer, p50", 3.5, median(shown) / 1000, "s", 2),
            at_most("we add to the engine's first token, p50", 30, added, "ms"),
            at_most("the same with a model that answers at once", 30, median(a.added_to_first for a in floor), "ms"),
            at_least("answers measured", 15, len(pairs), digits=0),
        )
    )


def _compared(same: Sequence[tuple[Asked, Bare]], total: int) -> None:
    rows = []
    for name, api, bare in (
        ("first token", [a.at["delta"] for a, _ in same], [b.first for _, b in same]),
        ("whole answer", [a.at["message.completed"] for a, _ in same], [b.whole for _, b in same]),
    ):
        differences = [left - right for left, right in zip(api, bare, strict=True)]
        ratios = [left / right for left, right in zip(api, bare, strict=True)]
        rows.append([name, quantiles(api), quantiles(bare), f"{median(differences):.0f}", f"{median(ratios):.3f}"])
    print(f"### API and bare engine in turns, {len(same)} of {total} pairs alike in tokens\n")
    print("Milliseconds, p50 / p95; the difference and the ratio are medians over the pairs.\n")
    print(table(["", "API", "bare engine", "difference", "ratio"], rows))


def _added(pairs: Sequence[tuple[Asked, Bare]], floor: Sequence[Asked]) -> None:
    real = [asked for asked, _ in pairs]
    print("\n### What we add, taken within each request\n")
    print("Milliseconds, p50 / p95, without the engine's own time.\n")
    rows = [
        _row("until the asker is told that the question is stored", real, floor, lambda a: a.at["message.created"]),
        _row("until the asker is told that the model is called", real, floor, lambda a: a.at["answering"]),
        _row("of it retrieval", real, floor, lambda a: a.timings["retrieve"]),
        _row("of it context", real, floor, lambda a: a.timings["context"]),
        _row("to the model's process and back", real, floor, lambda a: a.hop),
        _row("**added to the first token**", real, floor, lambda a: a.added_to_first),
        _row("first text held back by the guards", real, floor, lambda a: a.held),
        _row("from the last token to the last event (citations, storing)", real, floor, lambda a: a.added_at_end),
    ]
    print(table(["", "real model", "fake model (floor)"], rows))


def _row(name: str, real: Sequence[Asked], floor: Sequence[Asked], cost: Any) -> list[str]:
    return [name, quantiles([cost(a) for a in real], 1), quantiles([cost(a) for a in floor], 1)]


def _comparable(asked: Asked, bare: Bare) -> bool:
    """The same work: as many tokens read and written, as many reused (give or take a word in common)."""
    reused = abs(asked.usage.cached_tokens - bare.usage.cached_tokens) <= 8
    return reused and (asked.usage.prompt_tokens, asked.usage.completion_tokens) == (
        bare.usage.prompt_tokens,
        bare.usage.completion_tokens,
    )


def _cores() -> int:
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
