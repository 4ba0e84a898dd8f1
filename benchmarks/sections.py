"""The benches: what each is called, how it is run, how long it may take."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Section:
    """A part of RESULTS.md.

    Attributes:
        name: on the command line.
        title: its heading.
        module: what `python -m` runs.
        arguments: given to it.
        limit_s: it is ended after this long.
        asked_for: runs only when it is named, because it measures something else or takes long.
    """

    name: str
    title: str
    module: str
    arguments: tuple[str, ...] = ()
    limit_s: float = 300.0
    asked_for: bool = False

    @property
    def command(self) -> str:
        """As a person would type it."""
        return " ".join(["python -m", self.module, *self.arguments])


SECTIONS = (
    Section("embedder", "The bare embedder", "benchmarks.bench_embedder", ("--recall",), 420),
    Section("retrieval", "Retrieval", "benchmarks.bench_retrieval", ("--engines",), 420),
    Section("question-path", "The question path without the language model", "benchmarks.bench_question_path"),
    Section("haystack", "The same question path with Haystack", "benchmarks.bench_haystack"),
    Section("hops", "What a hop costs", "benchmarks.bench_hops"),
    Section("tokens", "Verifying tokens and API keys", "benchmarks.tokens"),
    Section("gateway-stages", "What the gateway adds to a request", "benchmarks.gateway_stages"),
    Section("scopes", "What the second wall between tenants costs", "benchmarks.bench_scopes"),
    Section("api", "Answers through the API against the bare engine", "benchmarks.bench_api", (), 480),
    Section("conversations", "Conversations against bare FastAPI and psycopg", "benchmarks.conversations", (), 300),
    Section("indexing", "Indexing against the bare embedder", "benchmarks.bench_indexing", (), 480),
    Section("up", "`voicehelper up` on a warm machine", "benchmarks.bench_up", (), 420),
    Section(
        "voice-recognition",
        "Speech recognition: errors, time, batches, beside faster-whisper",
        "benchmarks.bench_voice_recognition",
        (),
        600,
    ),
    Section("voice-turns", "Ends of turns: detector, Smart Turn, words", "benchmarks.bench_voice_turns", (), 300),
    Section(
        "voice-speech", "Speech synthesis: first sound, what is understood", "benchmarks.bench_voice_speech", (), 600
    ),
    Section("voice-chain", "Twenty spoken questions to the whole product", "benchmarks.bench_voice_chain", (), 1500),
    Section("voice-peers", "A voice session beside Pipecat", "benchmarks.bench_voice_peers", (), 1200),
    Section("router-peers", "What a gateway to models adds, beside LiteLLM", "benchmarks.bench_router_peers", (), 780),
    Section("budget-race", "Two hundred calls at a budget, beside LiteLLM", "benchmarks.bench_budget_race", (), 420),
    Section("llama-stack", "llama.cpp through the whole stack", "benchmarks.bench_llama_stack", (), 1200),
    Section("chat", "The chat actor", "benchmarks.bench_chat", (), 600, asked_for=True),
    Section("answers", "The forty questions", "benchmarks.eval_answers", (), 900, asked_for=True),
)
