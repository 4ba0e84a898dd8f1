"""Settings of vLLM as Ray's configuration, and calls to its deployment. No vLLM is needed: Ray's classes alone."""

import json
import subprocess
import sys

import pytest
from ray.llm._internal.serve.core.configs.llm_config import LLMConfig
from ray.serve.config import RequestRouterConfig

from deployments.vllm import PREFIX, PromptCall, WithVllm, llm_config, vllm_chat, vllm_deployments
from voicehelper.config import Settings, VllmSettings
from voicehelper.errors import ModelUnavailable
from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatMessage, ChatRequest, ChatUsage, FakeChatModel

MODEL = VllmSettings(name="qwen", source="Qwen/Qwen2.5-7B-Instruct")
REQUEST = ChatRequest((ChatMessage("system", "Be brief."), ChatMessage("user", "Hello")))
ROUTERS = [llm_config(MODEL.model_copy(update={"routing": name})) for name in ("prefix", "balanced")]


def _config(**changes):
    return LLMConfig(**llm_config(MODEL.model_copy(update=changes)))


def test_the_least():
    config = _config()
    assert config.model_id == "qwen"
    assert config.model_loading_config.model_source == "Qwen/Qwen2.5-7B-Instruct"
    assert config.engine_kwargs["enable_prefix_caching"] is True
    assert config.max_request_context_length == 8192
    assert config.deployment_config["num_replicas"] == 1
    assert config.lora_config is None


def test_tensor_parallelism_accelerator_and_what_else_the_engine_takes():
    config = _config(tensor_parallel=4, pipeline_parallel=2, accelerator="H100", engine={"dtype": "bfloat16"})
    assert config.engine_kwargs["tensor_parallel_size"] == 4
    assert config.engine_kwargs["pipeline_parallel_size"] == 2
    assert config.engine_kwargs["dtype"] == "bfloat16"
    assert config.accelerator_type == "H100"


def test_ray_refuses_an_accelerator_it_does_not_know():
    with pytest.raises(ValueError, match="Unsupported accelerator"):
        _config(accelerator="Abacus")


def test_autoscaling_takes_the_place_of_a_number():
    config = _config(autoscaling={"min_replicas": 0, "max_replicas": 4, "target_ongoing_requests": 64})
    assert "num_replicas" not in config.deployment_config
    assert config.deployment_config["autoscaling_config"]["max_replicas"] == 4


def test_adapters():
    config = _config(adapters_path="s3://models/adapters", adapters=4, adapter_rank=32)
    assert config.multiplex_config().max_num_models_per_replica == 4
    assert config.lora_config.dynamic_lora_loading_path == "s3://models/adapters"
    assert {name: config.engine_kwargs[name] for name in ("enable_lora", "max_loras", "max_lora_rank")} == {
        "enable_lora": True,
        "max_loras": 4,
        "max_lora_rank": 32,
    }


@pytest.mark.parametrize("fields", ROUTERS)
def test_routers_are_found_without_vllm(fields):
    given = fields["deployment_config"]["request_router_config"]
    code = "import json, sys; from ray.serve.config import RequestRouterConfig as R\n"
    code += f"r = R(**json.loads({json.dumps(json.dumps(given))})); r.get_request_router_class()\n"
    code += "print([name for name in ('vllm', 'torch') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.strip() == "[]", done.stderr[-500:]
    router = RequestRouterConfig(**given).get_request_router_class()
    assert set(given["request_router_kwargs"]) <= set(router.initialize_state.__annotations__)


def test_without_models_nothing_is_imported():
    assert vllm_deployments(Settings(), {}) == {}


class FakeHandle:
    """A Serve handle whose deployment answers `Hi`; keeps the options and calls it got."""

    deployment_name = "vllm:qwen"

    def __init__(self, seen=None, **options):
        self.seen = [] if seen is None else seen
        self.given = options

    def options(self, **options):
        return FakeHandle(self.seen, **self.given | options)

    def remote(self, call):
        self.seen.append((self.given, call))
        return self._items()

    async def _items(self):
        yield ChatDelta("Hi")
        yield ChatDone("stop", ChatUsage(2, 1), "qwen")


async def test_a_call_shows_the_router_its_prompt():
    handle = FakeHandle()
    events = [event async for event in vllm_chat(handle, "qwen").stream(REQUEST)]
    assert [type(event) for event in events] == [ChatDelta, ChatDone]
    [(options, call)] = handle.seen
    assert isinstance(call, PromptCall)
    assert call.prompt == "Be brief.Hello"
    assert call.args[0].model == "qwen"
    assert "multiplexed_model_id" not in options


async def test_an_adapter_goes_where_it_is_loaded():
    handle = FakeHandle()
    assert [event async for event in vllm_chat(handle, "qwen", "support").stream(REQUEST)]
    [(options, call)] = handle.seen
    assert options["multiplexed_model_id"] == call.args[0].model == "qwen:support"


class FakeBackends:
    """Gives the same model for every entry."""

    model = FakeChatModel()

    def chat(self, entry):
        return self.model


def _entry(**fields):
    return ModelEntry(**{"id": None, "name": "big", "provider": "vllm", "remote": "qwen"} | fields)


def test_entries_without_an_address_go_to_the_deployment():
    backends = WithVllm(FakeBackends(), {PREFIX + "qwen": FakeHandle()})
    assert backends.chat(_entry()) is backends.chat(_entry(name="again"))
    assert backends.chat(_entry(options={"adapter": "a"})) is not backends.chat(_entry())
    assert backends.chat(_entry(base_url="http://gpu:8000/v1")) is FakeBackends.model
    assert backends.chat(_entry(provider="openai")) is FakeBackends.model
    with pytest.raises(ModelUnavailable):
        backends.chat(_entry(remote="other"))
