"""The whole application on this machine: real PostgreSQL and Valkey, a Ray of its own, Serve, the real embedder.

One instance a session, in a temporary home; each topology is deployed once, in turn.
"""

import asyncio
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from tests.e2e.openai_thread import ScriptedModel, scripted_model
from voicehelper.cli.client import ApiClient, ClientError
from voicehelper.config import Settings
from voicehelper.embedded.assembly import components, serve_config
from voicehelper.embedded.component import Component
from voicehelper.embedded.instance import Instance, set_up
from voicehelper.embedded.models import default_models, ensure_models
from voicehelper.embedded.process import EngineError
from voicehelper.embedded.ray import ServeApplication, serve_api
from voicehelper.embedded.supervisor import sweep
from voicehelper.errors import VoiceHelperError
from voicehelper.stores.postgres.migrate import migrate

NODES = ("rag", "retrieval", "embedder", "chat", "router", "stt", "tts", "indexer")
TOPOLOGIES = {
    "inline": dict.fromkeys(NODES, "inline"),
    "deployments": dict.fromkeys(NODES, "deployment"),
}
_START_S = 120.0
LIMITS = {"answers_per_user": 6000}
"""One administrator asks all the questions of these tests."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Starting and redeploying count towards the first test of a topology."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(300))


@dataclass
class Platform:
    """The running instance."""

    settings: Settings
    instance: Instance
    args: dict[str, Any] = field(default_factory=dict)

    def deploy(self, **args: Any) -> None:
        """Deploy the application with these settings in place of the config file's, and wait until it serves."""
        config = serve_config(self.settings, self.instance)
        config["applications"][0]["args"] = self.args = {"limits": LIMITS} | args
        application = ServeApplication(self.instance, config)
        asyncio.run(application.start())
        _until_ready(application)
        eventually(self.client().ready, "the engines")

    def client(self) -> ApiClient:
        """A new client, logged in as the administrator."""
        return ApiClient.from_settings(self.settings, base_url=self.instance.http_url)

    def replicas(self) -> dict[str, int]:
        """Process id of a running replica by deployment."""
        state = asyncio.run(serve_api(self.instance).applications())
        deployments = state["applications"]["voicehelper"]["deployments"]
        return {
            name: replica["pid"]
            for name, deployment in deployments.items()
            for replica in deployment["replicas"]
            if replica["state"] == "RUNNING"
        }


def eventually(check: Any, what: str, timeout: float = 30.0) -> Any:
    """The first result of `check` that is true; errors of ours and of the API count as not yet."""
    deadline = time.monotonic() + timeout
    last: object = None
    while time.monotonic() < deadline:
        try:
            last = check()
            if last:
                return last
        except (VoiceHelperError, ClientError, EngineError, httpx.HTTPError) as error:
            last = error
        time.sleep(0.1)
    raise AssertionError(f"{what}: not within {timeout} s; last seen: {last!r}")


def _until_ready(component: Component, timeout: float = _START_S) -> None:
    deadline = time.monotonic() + timeout
    while True:
        try:
            asyncio.run(component.check())
            return
        except EngineError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="session")
def cache() -> Path:
    """The model cache, with the embedder and the small language model in it."""
    settings = Settings(chat={"model": "qwen2.5-coder-0.5b-instruct"})
    try:
        ensure_models(settings, default_models(settings))
    except VoiceHelperError as error:
        pytest.skip(f"the models cannot be fetched: {error}")
    return settings.cache


@pytest.fixture(scope="session")
def home() -> Iterator[Path]:
    """A state folder that every account may enter."""
    folder = Path(tempfile.mkdtemp(prefix="vh-e2e-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def platform(home: Path, cache: Path) -> Iterator[Platform]:
    """Engines and Ray, no application yet."""
    settings = Settings(home=home, cache=cache, postgres_url=None, redis_url=None)
    instance = set_up(settings)
    parts = components(settings, instance, migrate)
    instance.metrics.mkdir(exist_ok=True)
    running: list[tuple[Component, Any]] = []
    try:
        by_name = {part.name: part for part in parts}
        for name in ("ray", "postgres", "valkey"):
            running.append((by_name[name], asyncio.run(by_name[name].start())))
        _until_ready(by_name["postgres"])
        asyncio.run(by_name["schema"].start())
        for name in ("valkey", "ray"):
            _until_ready(by_name[name])
        yield Platform(settings, instance)
    finally:
        for part, process in reversed(running):
            with suppress(EngineError, psutil.Error):
                asyncio.run(part.stop(process))
        sweep(home)
        shutil.rmtree(instance.ray_folder(), ignore_errors=True)


@pytest.fixture(scope="session")
def model() -> Iterator[ScriptedModel]:
    """A language model that the test scripts, behind a real socket."""
    with scripted_model() as model:
        yield model


@pytest.fixture(scope="session", params=TOPOLOGIES)
def app(request: pytest.FixtureRequest, platform: Platform, model: ScriptedModel) -> Platform:
    """The application under each topology in turn: real engines and embedder, scripted language model, fake speech."""
    platform.deploy(
        topology=TOPOLOGIES[request.param],
        stt={"backend": "fake"},
        tts={"backend": "fake"},
        chat={"backend": "openai", "base_url": model.url, "model": "scripted"},
        cache=str(platform.settings.cache),
    )
    model.reset()
    return platform


@pytest.fixture
def client(app: Platform) -> Iterator[ApiClient]:
    """Logged in."""
    with app.client() as client:
        yield client
