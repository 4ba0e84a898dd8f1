"""What may be written into the catalogue; and that lists kept in two rooms agree."""

import json
from dataclasses import replace
from typing import get_args
from uuid import uuid4

import pytest
from pydantic import ValidationError

from actors.chat import providers
from actors.chat.llama_cpp import CAPABILITIES
from deployments.args import replica_args
from tests.fakes.models import FakeResolver
from voicehelper.config import ChatSettings, ProviderKeys, Settings
from voicehelper.errors import Conflict, InvalidInput
from voicehelper.models.local import local_entry
from voicehelper.models.model import Capability, Kind, ModelEntry
from voicehelper.models.providers import OWN_ADDRESS, PROVIDERS
from voicehelper.models.validation import addresses_of, check_addresses, check_entry, warnings_of
from voicehelper.wire.models import CapabilityName, KindName, ModelCreate, ModelUpdate, ProviderName

TENANT = ModelEntry(uuid4(), "gpt", "openai", tenant_id=uuid4())


async def check(entry: ModelEntry) -> None:
    check_entry(entry, "local-model")
    await check_addresses(entry, FakeResolver())


def test_lists_kept_in_two_rooms_agree() -> None:
    assert set(providers.PROVIDERS) == PROVIDERS == set(get_args(ProviderName))
    assert {name for name, provider in providers.PROVIDERS.items() if provider.base_url} == OWN_ADDRESS
    assert set(ProviderKeys.model_fields) == PROVIDERS
    assert set(get_args(CapabilityName)) == set(get_args(Capability))
    assert set(get_args(KindName)) == set(get_args(Kind))
    assert local_entry(ChatSettings(backend="llama_cpp")).capabilities == CAPABILITIES


def test_options_that_are_addresses_are_known_here() -> None:
    named = {name for name in providers.EntryOptions.model_fields if name.endswith("url")}
    entry = replace(TENANT, options=dict.fromkeys(named, "https://api.example.com"))
    assert set(addresses_of(entry)) == {f"options.{name}" for name in named}


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"name": "auto"}, "name"),
        ({"name": "AUTO:fastest"}, "name"),
        ({"name": "kb:manual"}, "name"),
        ({"provider": "local"}, "provider"),
        ({"provider": "vllm"}, "base_url"),
        ({"base_url": "https://10.0.0.1"}, "base_url"),
        ({"options": {"rerank_url": "http://169.254.169.254/latest"}}, "options.rerank_url"),
        ({"options": {"rerank_url": 7}}, "options.rerank_url"),
        ({"max_output_tokens": 5000}, "max_output_tokens"),
        ({"fallbacks": ("gpt",)}, "fallbacks"),
    ],
)
async def test_what_is_refused(values: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        await check(replace(TENANT, **values))  # type: ignore[arg-type]
    assert refused.value.details["field"] == field


async def test_the_instances_own_name_is_taken() -> None:
    with pytest.raises(Conflict):
        await check(replace(TENANT, name="local-model"))


async def test_the_platform_may_name_servers_inside() -> None:
    inside = replace(TENANT, tenant_id=None, provider="vllm", base_url="http://10.0.0.1:8000/v1")
    for entry in (inside, replace(inside, base_url="")):  # an engine of the application has no address
        await check(entry)
    with pytest.raises(InvalidInput):
        await check(replace(inside, tenant_id=uuid4()))


def test_what_will_not_work_yet_is_said() -> None:
    entry = replace(TENANT, fallbacks=("a", "b"))
    assert warnings_of(entry, {"b"}, keyed=False) == ("unknown_fallback: a", "no_key")
    assert warnings_of(entry, {"a", "b"}, keyed=True) == ()
    assert warnings_of(replace(TENANT, provider="vllm"), set(), keyed=False) == ()


def test_keys_in_a_body_show_in_no_text() -> None:
    body = ModelCreate(name="a", provider="openai", context_tokens=1, api_key="sk-secret")  # type: ignore[arg-type]
    change = ModelUpdate(version=1, api_key="sk-secret")  # type: ignore[arg-type]
    assert "sk-secret" not in f"{body!r} {body} {body.model_dump()} {body.model_dump_json()} {change!r}"
    with pytest.raises(ValidationError) as refused:
        ModelCreate(name="a", provider="openai", context_tokens=1, api_key="sk-secret \n")  # type: ignore[arg-type]
    assert all("sk-secret" not in str(error["msg"]) for error in refused.value.errors())


def test_keys_of_the_environment_stay_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOICEHELPER_PROVIDER_KEYS__OPENAI", "sk-env")
    monkeypatch.setenv("VOICEHELPER_PROVIDER_KEYS__QWEN", "12345")
    settings = Settings()
    assert settings.provider_keys.by_provider() == {"openai": "sk-env", "qwen": "12345"}
    assert "sk-env" not in json.dumps(replica_args(settings)) + repr(settings)
    assert Settings(**replica_args(settings)) == settings
    monkeypatch.delenv("VOICEHELPER_PROVIDER_KEYS__OPENAI")
    with pytest.raises(InvalidInput, match=r"provider_keys\.openai"):
        replica_args(Settings.model_validate({"provider_keys": {"openai": "sk-args"}}))
    monkeypatch.setenv("VOICEHELPER_PROVIDER_KEYS__OPENIA", "sk-env")
    with pytest.raises(ValidationError):
        Settings()
