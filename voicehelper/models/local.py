"""The instance's own model as an entry: built in, so that it can be had with an empty table and without a database."""

from typing import Final
from uuid import UUID

from voicehelper.config import ChatSettings
from voicehelper.models.model import LOCAL, ModelEntry

LOCAL_ID: Final = UUID(int=1)
"""Of the built-in entry, on every replica; below every UUIDv7, so that it is last where the newest is first."""

_ENGINE = frozenset({"stream", "tools", "json_object", "json_schema", "logprobs", "seed", "continue"})
_CAPABILITIES: Final[dict[str, frozenset[str]]] = {
    "llama_cpp": _ENGINE,
    "openai": frozenset({"stream", "tools", "json_object", "json_schema"}),
    "fake": _ENGINE | {"vision"},
}


def local_entry(settings: ChatSettings) -> ModelEntry:
    """The entry of `settings.chat`, free of charge. Its limits are not here: the model's own queue keeps them."""
    return ModelEntry(
        id=LOCAL_ID,
        name=settings.model,
        provider=LOCAL,
        remote=settings.model,
        capabilities=_CAPABILITIES[settings.backend],
        context_tokens=settings.context_tokens,
        quality=2,
        speed=3,
    )
