"""Presets are what the API takes, and `voicehelper catalogue` sends what was meant."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
from typer.testing import CliRunner

from tests.fakes.models import FakeResolver
from voicehelper.cli.catalogue_client import CatalogueClient
from voicehelper.cli.main import app
from voicehelper.identity.admin import AdminCredentials
from voicehelper.models.model import ModelEntry, Price
from voicehelper.models.presets import PRESETS
from voicehelper.models.validation import check_addresses, check_entry
from voicehelper.ports.chat import ChatUsage
from voicehelper.wire.models import ModelCreate, ModelSaved

MODELS = "/api/v1/models"


@pytest.mark.parametrize("name", PRESETS)
async def test_a_preset_is_a_model_that_a_tenant_may_add(name: str) -> None:
    body = ModelCreate.model_validate({"name": name, **PRESETS[name]})
    entry = ModelEntry(
        uuid4(),
        name,
        body.provider,
        tenant_id=uuid4(),
        base_url=body.base_url,
        context_tokens=body.context_tokens,
        max_output_tokens=body.max_output_tokens,
        price=Price(**body.price.model_dump()),
        options=body.options,
    )
    check_entry(entry, "local-model")
    await check_addresses(entry, FakeResolver({"dashscope-intl.aliyuncs.com": ["8.8.8.8"]}))
    assert entry.price.prompt > 0
    assert entry.price.completion > entry.price.prompt or body.kind == "embedding"
    assert (entry.price.cached or 0) < entry.price.prompt


def test_prices_are_in_micro_dollars_a_million_tokens() -> None:
    price = Price(**PRESETS["gpt-4.1-mini"]["price"])
    assert price.cost(ChatUsage(1_000_000, 1_000_000)) == 2_000_000  # $0.40 + $1.60
    assert price.cost(ChatUsage(1000, 0, 1000)) == 100


class FakeServer:
    """The routes of the catalogue; keeps what it was sent."""

    def __init__(self) -> None:
        self.models: list[dict[str, Any]] = []
        self.sent: list[tuple[str, str, Any]] = []

    def __call__(self, request: httpx.Request) -> httpx.Response:
        body = json.loads(request.content) if request.content else None
        self.sent.append((request.method, request.url.path, body))
        if request.url.path.endswith("/auth/login"):
            pair = {"access_token": "a", "expires_in": 1, "refresh_token": "r", "refresh_expires_in": 1}
            return httpx.Response(200, json=pair)
        if request.url.path.endswith("/test"):
            return httpx.Response(200, json={"ok": True, "first_ms": 12.3, "total_ms": 40.0, "completion_tokens": 2})
        if request.method == "GET":
            return httpx.Response(200, json={"items": self.models, "next_cursor": None})
        if request.method == "DELETE":
            return httpx.Response(204)
        return httpx.Response(200, json=self._saved(body))

    def _saved(self, body: dict[str, Any]) -> dict[str, Any]:
        known = self.models[0] if "version" in body else {}
        full: dict[str, Any] = {
            "kind": "chat",
            "remote": "",
            "base_url": "",
            "capabilities": [],
            "max_output_tokens": 0,
        }
        full |= {"quality": 3, "speed": 3, "fallbacks": [], "options": {}, "enabled": True, "version": 1}
        full |= {"limits": {"requests_per_minute": 0, "tokens_per_minute": 0, "parallel": 0}}
        full |= {"id": str(uuid4()), "created_at": datetime.now(UTC).isoformat(), "warnings": ["no_key"]} | known | body
        full["price"] = {"prompt": 0, "completion": 0, "cached": None, "per_call": 0} | full.get("price", {})
        full["has_key"] = bool(full.pop("api_key", ""))
        self.models = [ModelSaved.model_validate(full).model_dump(mode="json")]
        return self.models[0]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeServer]:
    made = FakeServer()

    def client(*_arguments: object) -> CatalogueClient:
        account = AdminCredentials("admin@example.com", "x")
        return CatalogueClient("http://test", account, transport=httpx.MockTransport(made))

    monkeypatch.setattr(CatalogueClient, "from_settings", client)
    yield made


def run(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["catalogue", *words])
    return result.exit_code, result.output


def test_a_preset_is_added_with_the_key_of_the_environment(server: FakeServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DASHSCOPE_API_KEY", "sk-secret")
    code, output = run("add", "--preset", "qwen-plus", "--key-env", "DASHSCOPE_API_KEY", "--fallback", "local")
    assert (code, "sk-secret" in output) == (0, False), output
    method, path, body = server.sent[-1]
    assert (method, path) == ("POST", MODELS)
    assert body["api_key"] == "sk-secret" and body["owner"] == "platform" and body["fallbacks"] == ["local"]
    assert body["price"]["prompt"] == 400_000 and body["name"] == "qwen-plus"


def test_what_is_given_wins_over_the_preset(server: FakeServer) -> None:
    code, output = run("add", "mine", "--preset", "gpt-4.1-mini", "--tenant", "--price-in", "0.5", "--context", "1000")
    assert code == 0, output
    body = server.sent[-1][2]
    assert (body["name"], body["remote"], body["owner"]) == ("mine", "gpt-4.1-mini", "tenant")
    assert (body["price"]["prompt"], body["price"]["completion"], body["context_tokens"]) == (500_000, 1_600_000, 1000)


@pytest.mark.parametrize(
    "words",
    [
        ("add",),
        ("add", "--preset", "nothing"),
        ("add", "x", "--provider", "openai"),
        ("add", "x", "--context", "9"),
        ("add", "--preset", "gpt-4.1-mini", "--key-env", "NOT_SET_ANYWHERE"),
        ("remove", "nobody"),
        ("test", "nobody"),
    ],
)
def test_what_is_missing_is_said(server: FakeServer, words: tuple[str, ...]) -> None:
    code, output = run(*words)
    assert code == 1 and "voicehelper catalogue:" in output


def test_a_model_is_shown_changed_tried_and_removed_by_name(server: FakeServer) -> None:
    run("add", "--preset", "deepseek-flash")
    code, output = run("list")
    assert code == 0 and "deepseek-flash" in output and "1.2" in output
    code, output = run("change", "deepseek-flash", "--disable", "--price-out", "2")
    assert code == 0 and "disabled" in output and "no_key" in output, output
    body = server.sent[-1][2]
    assert body["enabled"] is False and body["version"] == 1
    assert body["price"] == {"prompt": 300_000, "completion": 2_000_000, "cached": 6_000, "per_call": 0}
    code, output = run("test", "deepseek-flash")
    assert code == 0 and "12 ms" in output
    assert run("remove", "deepseek-flash")[0] == 0
    assert server.sent[-1][0] == "DELETE"
    assert "deepseek-v4-pro" in run("presets")[1]
