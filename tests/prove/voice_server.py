"""A whole instance for the proofs of voice: everything is real but the language model, which is scripted."""

import json
from dataclasses import dataclass
from typing import Any

import httpx

from tests.prove.server import wait_until
from tests.prove.tenancy_server import Cluster
from voicehelper.config import Settings
from voicehelper.embedded.instance import open_instance

REPLICAS = 2
QUESTION = "请问运费怎么计算"
"""Whisper base hears it as it is said, in every voice of ours."""
SECOND = "那么运费是怎么计算的呢"
ANSWER = (
    "运费按照收货地区和包裹重量计算。首重一公斤是十二元，续重每公斤是五元。"
    "如果订单金额超过两百元，全国大部分地区都可以免费配送。"
)
PASSAGE = f"# {QUESTION}\n\n{QUESTION}？{SECOND}？{ANSWER}\n"


@dataclass
class VoiceCluster(Cluster):
    """Two gateway replicas; recogniser, synthesiser and embedder are deployments of their own."""

    passage: str = PASSAGE

    def __post_init__(self) -> None:
        super().__post_init__()
        self.environment |= {
            "VOICEHELPER_NODES": json.dumps({"gateway": {"num_replicas": REPLICAS}}),
            "VOICEHELPER_EMBEDDER": json.dumps({"backend": "ctranslate2"}),  # questions come as they were heard
            "VOICEHELPER_TOPOLOGY__EMBEDDER": "deployment",
            "VOICEHELPER_VOICE": json.dumps({"dead_air_ms": 0, "sessions_per_user": 1000}),
        }

    def start(self) -> float:
        """Seconds until it is ready with all its replicas, models fetched."""
        fetched = self.cli("models", "pull", timeout=600)
        if fetched.returncode != 0:
            raise RuntimeError(f"models were not fetched: {fetched.stdout[-300:]} {fetched.stderr[-300:]}")
        self.launch()
        return wait_until(lambda: self.ready() and len(self.replicas()) == REPLICAS and self.speaks(), 240)

    def speaks(self) -> bool:
        """Whether the recogniser and the synthesiser are there."""
        probes = httpx.get(f"{self.url}/ready", timeout=5, trust_env=False).json()
        return all(str(probes).find(name) >= 0 for name in ("stt", "tts")) and "unavailable" not in str(probes)

    def speech(self, text: str) -> bytes:
        """The text as 16 kHz PCM, said by the platform itself."""
        from voicehelper.voice.resample import resample

        with self.api() as api:
            body = {"model": "tts-1", "input": text, "voice": "alloy", "response_format": "pcm"}
            pcm = api.post("/v1/audio/speech", json=body).raise_for_status().content
        return resample(pcm, 24_000, 16_000)

    def speech_of_question(self) -> bytes:
        """`QUESTION`, said."""
        return self.speech(QUESTION)

    def redeploy(self) -> float:
        """A rolling update, as an operator makes one: the same application with a changed argument. Seconds until
        every gateway replica is a new one and all is healthy."""
        before = set(self.replicas())
        address, headers = self._dashboard()
        with httpx.Client(base_url=address, headers=headers, timeout=60, trust_env=False) as ray:
            listed: dict[str, Any] = ray.get("/api/serve/applications/").raise_for_status().json()
            config = next(iter(listed["applications"].values()))["deployed_app_config"]
            args = config.setdefault("args", {})
            telemetry = args.setdefault("telemetry", {})
            telemetry["log_level"] = "WARNING" if telemetry.get("log_level") == "ERROR" else "ERROR"
            wanted = {k: listed[k] for k in ("http_options", "grpc_options", "proxy_location") if listed.get(k)}
            ray.put("/api/serve/applications/", json=wanted | {"applications": [config]}).raise_for_status()

            def renewed() -> bool:
                listed = ray.get("/api/serve/applications/").json()["applications"]
                now = set(self.replicas())
                running = all(app["status"] == "RUNNING" for app in listed.values())
                return running and len(now) == REPLICAS and not now & before

            return wait_until(renewed, 180)

    def _dashboard(self) -> tuple[str, dict[str, str]]:
        instance = open_instance(Settings(home=self.home))
        assert instance is not None, "it is running"
        return instance.dashboard_url, {"Authorization": f"Bearer {instance.secrets.ray_token}"}
