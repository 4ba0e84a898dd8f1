"""vLLM by `ray.serve.llm`: a model of `settings.vllm` as a deployment of our application, and a chat model to others.

A gateway replica calls the engine's replica directly: no ingress of Ray's, no HTTP in between. Serve's request router
runs at the caller, so a prompt goes to the replica that has read its beginning before, and a request for an adapter to
one that holds the adapter. vLLM itself is imported only where a deployment of it is built or runs.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from ray.serve import Application

from deployments.frames import Call
from deployments.remote import Handle, remote
from voicehelper.config import Settings, VllmSettings
from voicehelper.errors import ModelUnavailable
from voicehelper.models.model import ModelEntry
from voicehelper.models.ports import Backends
from voicehelper.ports.chat import ChatModel, ChatRequest

PREFIX = "vllm:"
# The module, not `ray.serve.llm.request_router`: that imports vLLM, and routers run in the gateway.
_ROUTERS = {
    "prefix": "ray.llm._internal.serve.routing_policies.prefix_aware.prefix_aware_router.PrefixCacheAffinityRouter",
    "balanced": "ray.serve._private.request_router:PowerOfTwoChoicesRequestRouter",
}
_TREE_CHARS = 4_000_000  # of prompts that are remembered; the oldest go first


@dataclass(frozen=True, slots=True)
class PromptCall(Call):
    """A call that shows Serve's prefix-aware router what will be read."""

    prompt: str = ""


def vllm_deployments(settings: Settings, args: dict[str, Any]) -> dict[str, Application]:
    """One deployment for each model of `settings.vllm`, by the name its handle has. `args` makes settings in a replica.

    Raises `ImportError` without the `gpu` extra.
    """
    if not settings.vllm:
        return {}
    from deployments.vllm_replica import vllm_deployment  # noqa: PLC0415 - imports vLLM

    return {PREFIX + model.name: vllm_deployment(model, args) for model in settings.vllm}


def llm_config(model: VllmSettings) -> dict[str, Any]:
    """Fields of `ray.serve.llm.LLMConfig`."""
    engine: dict[str, Any] = {
        "tensor_parallel_size": model.tensor_parallel,
        "pipeline_parallel_size": model.pipeline_parallel,
        "max_model_len": model.context_tokens,
        "enable_prefix_caching": True,
    }
    fields: dict[str, Any] = {
        "model_loading_config": {"model_id": model.name, "model_source": model.source},
        "deployment_config": _deployment(model),
        "experimental_configs": {"stream_batching_interval_ms": model.batch_ms},
    }
    if model.accelerator:
        fields["accelerator_type"] = model.accelerator
    if model.adapters_path:
        engine |= {"enable_lora": True, "max_loras": model.adapters, "max_lora_rank": model.adapter_rank}
        fields["lora_config"] = {
            "dynamic_lora_loading_path": model.adapters_path,
            "max_num_adapters_per_replica": model.adapters,
        }
    return fields | {"engine_kwargs": engine | model.engine}


def _deployment(model: VllmSettings) -> dict[str, Any]:
    options: dict[str, Any] = {
        "max_ongoing_requests": model.ongoing,
        "max_queued_requests": model.ongoing,
        "request_router_config": {
            "request_router_class": _ROUTERS[model.routing],
            "request_router_kwargs": _router_arguments(model),
        },
    }
    scale = {"autoscaling_config": dict(model.autoscaling)} if model.autoscaling else {"num_replicas": model.replicas}
    return options | scale


def _router_arguments(model: VllmSettings) -> dict[str, Any]:
    if model.routing != "prefix":
        return {}
    return {
        "imbalanced_threshold": model.imbalance,
        "do_eviction": True,
        "eviction_threshold_chars": _TREE_CHARS,
        "eviction_target_chars": _TREE_CHARS * 9 // 10,
    }


def vllm_chat(handle: Handle, name: str, adapter: str = "") -> ChatModel:
    """The model behind `handle`, or an adapter of it. Ray's name of an adapter is `MODEL:ADAPTER`."""
    model = f"{name}:{adapter}" if adapter else name

    def frame(method: str, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None) -> PromptCall:
        called = tuple(replace(arg, model=model) if isinstance(arg, ChatRequest) else arg for arg in args)
        return PromptCall(method, called, kwargs or {}, prompt=_prompt(called))

    chosen = handle.options(multiplexed_model_id=model) if adapter else handle
    constant = frozenset({"describe"})
    return remote(ChatModel, chosen, unavailable=ModelUnavailable, constant=constant, frame=frame)  # type: ignore[type-abstract]


def _prompt(args: tuple[Any, ...]) -> str:
    return "".join(message.content for arg in args if isinstance(arg, ChatRequest) for message in arg.messages)


class WithVllm:
    """Backends that know the engines of this application too: entries of provider `vllm` without a `base_url`.

    Their `remote` is a name in `settings.vllm`; `options["adapter"]` a LoRA adapter of it.
    """

    def __init__(self, others: Backends, handles: Mapping[str, Handle]) -> None:
        self._others = others
        self._handles = handles
        self._made: dict[tuple[str, str], ChatModel] = {}

    def chat(self, entry: ModelEntry) -> ChatModel:
        """See `Backends.chat`. Raises `ModelUnavailable` for an engine that is not deployed."""
        if entry.provider != "vllm" or entry.base_url:
            return self._others.chat(entry)
        key = (entry.remote, str(entry.options.get("adapter", "")))
        if key not in self._made:
            handle = self._handles.get(PREFIX + entry.remote)
            if handle is None:
                raise ModelUnavailable("This engine is not deployed here")
            self._made[key] = vllm_chat(handle, *key)
        return self._made[key]
