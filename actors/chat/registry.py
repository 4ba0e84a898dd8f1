"""Which class serves which `settings.chat.backend`. Libraries are imported only by the backend that needs them."""

import os
from collections.abc import Callable
from typing import Protocol

from voicehelper.config import Settings
from voicehelper.ports.chat import ChatModel, FakeChatModel


class ClosableChatModel(ChatModel, Protocol):
    """A chat model that holds an engine or connections until closed."""

    async def close(self) -> None:
        """Stop running requests and give everything back. Harmless when repeated."""
        ...


def build_chat_model(settings: Settings) -> ChatModel:
    """The chat model that `settings.chat` describes, ready to answer.

    Loading a local model takes seconds and blocks: call it where a process starts. Raises `ModelUnavailable` when the
    model file is missing or cannot be loaded.
    """
    return _BACKENDS[settings.chat.backend](settings)


def _llama_cpp(settings: Settings) -> ChatModel:
    from actors.chat.llama_cpp import LlamaCppChat  # noqa: PLC0415 - loads the engine's shared library
    from voicehelper.embedded.models import model_path  # noqa: PLC0415

    chat = settings.chat
    return LlamaCppChat(
        model_path(settings, chat.model),
        model=chat.model,
        context_tokens=chat.context_tokens,
        parallel=chat.parallel,
        queue=chat.queue,
        threads=chat.threads or len(os.sched_getaffinity(0)),
    )


def _openai(settings: Settings) -> ChatModel:
    from actors.chat.openai_compatible import OpenAICompatibleChat  # noqa: PLC0415 - the SDK takes a second to import

    chat = settings.chat
    return OpenAICompatibleChat(
        chat.base_url,
        chat.api_key.get_secret_value(),
        model=chat.model,
        context_tokens=chat.context_tokens,
        parallel=chat.parallel,
        queue=chat.queue,
    )


def _fake(_settings: Settings) -> ChatModel:
    return FakeChatModel()


_BACKENDS: dict[str, Callable[[Settings], ChatModel]] = {"llama_cpp": _llama_cpp, "openai": _openai, "fake": _fake}
