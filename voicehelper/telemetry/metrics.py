"""The platform's Prometheus metrics. Labels hold names we chose, never ids or text of users.

With PROMETHEUS_MULTIPROC_DIR set (the supervisor and the images do), every process of a machine writes to that folder
and any of them renders the sum, so one scrape of the gateway shows the embedder's and the model's figures too.
"""

from prometheus_client import REGISTRY as PROCESS_REGISTRY
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

from voicehelper.config import metrics_directory

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

REQUESTS = Counter("voicehelper_requests", "HTTP requests answered", ["route", "method", "status"])
REQUEST_SECONDS = Histogram("voicehelper_request_seconds", "Request to last byte", ["route"], buckets=_SECONDS)
REQUESTS_IN_FLIGHT = Gauge("voicehelper_requests_in_flight", "Requests being served", multiprocess_mode="livesum")
STAGE_SECONDS = Histogram("voicehelper_stage_seconds", "Time of one stage of work", ["stage"], buckets=_SECONDS)
LOGINS = Counter("voicehelper_logins", "Logins by outcome: accepted, refused, locked", ["outcome"])
ANSWERS = Counter("voicehelper_answers", "Answers by outcome", ["outcome"])
CONTEXT_LOADS = Counter("voicehelper_context_loads", "Context windows by where they came from", ["outcome"])
REFUSED_CREDENTIALS = Counter("voicehelper_refused_credentials", "Tokens and API keys refused", ["why"])
STANDINGS = Counter("voicehelper_standings", "Users' permissions read, by where they were found", ["source"])
FALLBACKS = Counter("voicehelper_fallbacks", "Served without an engine that was away", ["what"])
RATE_LIMITED = Counter("voicehelper_rate_limited", "Requests refused by a rate limit", ["limit"])
REPLAYED_WRITES = Counter("voicehelper_replayed_writes", "Writes answered with the response to an earlier request")
SUMMARIES = Counter("voicehelper_summaries", "Summaries of conversations by outcome", ["outcome"])
DEGRADED = Counter("voicehelper_degraded", "Stages skipped or replaced", ["stage"])
CHAT_TOKENS = Counter("voicehelper_chat_tokens", "Tokens through chat models", ["model", "kind"])
CHAT_TOKENS_PER_SECOND = Histogram(
    "voicehelper_chat_tokens_per_second",
    "Decoding speed of one answer",
    ["model"],
    buckets=(1, 2, 5, 10, 20, 40, 80, 160),
)
CHAT_FIRST_TOKEN_SECONDS = Histogram(
    "voicehelper_chat_first_token_seconds", "From the engine to its first piece of text", ["model"], buckets=_SECONDS
)
MODEL_CALLS = Counter("voicehelper_model_calls", "Calls of models, by how they ended", ["model", "outcome"])
MODEL_STATES = Counter("voicehelper_model_states", "Models put out of use, and back into it", ["state"])
EMBEDDED_TEXTS = Counter("voicehelper_embedded_texts", "Texts embedded", ["model", "kind"])
QUEUE_LENGTH = Gauge("voicehelper_queue_length", "Work waiting", ["queue"], multiprocess_mode="livesum")
EVENTS = Counter("voicehelper_events", "Events by what a consumer group did with them", ["group", "outcome"])
EVENT_LAG = Gauge(
    "voicehelper_event_lag", "Events a group has not finished", ["group"], multiprocess_mode="livemostrecent"
)
OUTBOX_LAG_SECONDS = Gauge(
    "voicehelper_outbox_lag_seconds", "Age of the oldest event not yet on the bus", multiprocess_mode="livemostrecent"
)
VOICE_SESSIONS = Gauge("voicehelper_voice_sessions", "Voice sessions held", multiprocess_mode="livesum")
VOICE_ENDED = Counter("voicehelper_voice_ended", "Voice sessions by why they ended here", ["reason"])
VOICE_SECONDS = Histogram(
    "voicehelper_voice_seconds",
    "Parts of a spoken turn: end_of_turn, asr, retrieval, first_token, first_sound",
    ["part"],
    buckets=_SECONDS,
)
PREPARED = Counter("voicehelper_prepared", "Questions prepared while spoken, and those then asked", ["outcome"])
REMEMBERED = Counter("voicehelper_remembered", "Questions looked up among those answered before", ["outcome"])
SPOKEN_CACHE = Counter("voicehelper_spoken_cache", "Clauses by where their sound was found", ["outcome"])
DOCUMENTS = Counter("voicehelper_documents", "Documents finished", ["outcome"])
CHUNKS = Counter("voicehelper_chunks_indexed", "Chunks written")
LEDGER = Counter(
    "voicehelper_ledger", "Ends of calls: counted, uncounted (counters away), dropped, above_reservation", ["outcome"]
)
BUDGET_REFUSALS = Counter("voicehelper_budget_refusals", "Calls refused, by whose limit and of what", ["whose", "of"])


def render() -> bytes:
    """Everything in the Prometheus text format."""
    if metrics_directory() is None:
        return generate_latest(PROCESS_REGISTRY)
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return generate_latest(registry)
