"""The replica that holds a vLLM engine. Importing this module imports vLLM (the `gpu` extra)."""

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from ray.serve import Application
from ray.serve.llm import LLMConfig, build_llm_deployment
from ray.serve.llm.deployment import LLMServer
from ray.serve.llm.openai_api_models import ChatCompletionRequest

from actors.chat.vllm import VllmChat
from deployments.frames import Call
from deployments.replica import call_stream, call_unary
from deployments.vllm import PREFIX, llm_config
from voicehelper.config import Settings, VllmSettings
from voicehelper.ports.chat import ChatModelInfo
from voicehelper.telemetry import configure_logging, configure_tracing


class VllmReplica(LLMServer):  # Ray's classes are untyped
    """Ray's server of the engine (starts it, loads adapters, checks its health), called as our other replicas are."""

    async def __init__(self, llm_config: LLMConfig, *, args: dict[str, Any], **injected: Any) -> None:  # type: ignore[misc]
        settings = Settings(**args)
        self._name = PREFIX + llm_config.model_id
        configure_logging(settings.telemetry.log_level)
        configure_tracing(f"voicehelper-{self._name}", settings.telemetry.otlp_endpoint)
        context = int(llm_config.engine_kwargs["max_model_len"])
        self._chat = VllmChat(self._complete, ChatModelInfo(llm_config.model_id, context, "vllm"))
        await super().__init__(llm_config, **injected)

    async def unary(self, call: Call) -> Any:
        """See `NodeReplica.unary`."""
        return await call_unary(self._chat, self._name, call)

    async def stream(self, call: Call) -> AsyncIterator[Any]:
        """See `NodeReplica.stream`."""
        async with aclosing(call_stream(self._chat, self._name, call)) as items:
            async for item in items:
                yield item

    async def _complete(self, body: dict[str, Any]) -> AsyncIterator[Any]:
        events: AsyncIterator[Any] = await self.chat(ChatCompletionRequest(**body))
        return events


def vllm_deployment(model: VllmSettings, args: dict[str, Any]) -> Application:
    """The deployment of one model; it needs a cluster to look at, as Ray's builder does."""
    config = LLMConfig(**llm_config(model))
    application: Application = build_llm_deployment(
        config, name_prefix=PREFIX, bind_kwargs={"args": args}, deployment_cls=VllmReplica
    )
    return application
