"""The most that a provider can charge for: what is reserved, so that no bill is above its reservation.

Every token of a byte-level or byte-fallback tokenizer stands for at least one byte of the text it reads, which is the
UTF-8 of the prompt, perhaps in Unicode's form C first (Qwen). So a text has at most as many tokens as bytes. What
providers add around it (roles, instructions for tools) is bounded by constants well above what they document.
"""

import json
import unicodedata
from collections.abc import Iterable
from typing import Final

from voicehelper.models.model import ModelEntry
from voicehelper.ports.chat import ChatMessage, ChatRequest

_AROUND: Final = 128  # begin and end of the prompt, the default system prompt of a chat template
_A_MESSAGE: Final = 16
_TOOLS: Final = 1024  # instructions for calling them: Anthropic documents up to 530, Qwen's template takes 150
_A_TOOL: Final = 32
_SCHEMA: Final = 2  # a schema may be written out again: as TypeScript, indented, with its characters escaped
_IMAGES: Final[dict[str, int]] = {"anthropic": 6_000, "qwen": 16_500}
_AN_IMAGE: Final = 50_000  # OpenAI's smallest models count 5667 a tile of eight, and 2833


def most_prompt_tokens(request: ChatRequest, entry: ModelEntry) -> int:
    """An upper bound for the tokens of the prompt as `entry`'s provider counts them. Where a model reads images of its
    own size, `entry.options["image_tokens"]` says how many tokens one takes at most."""
    image = entry.options.get("image_tokens")
    an_image = image if isinstance(image, int) else _IMAGES.get(entry.provider, _AN_IMAGE)
    total = _AROUND + sum(_of_message(message) + an_image * len(message.images) for message in request.messages)
    if request.tools or request.json_schema is not None or request.json_object:
        total += _TOOLS
    for tool in request.tools:
        total += _A_TOOL + _most(tool.name) + _most(tool.description) * _SCHEMA + _of_json(tool.parameters)
    if request.json_schema is not None:
        total += _A_TOOL + _most(request.schema_name) + _of_json(request.json_schema)
    return total


def most_tokens(request: ChatRequest, entry: ModelEntry) -> tuple[int, int]:
    """Upper bounds for prompt and completion of `request` as it is sent."""
    return most_prompt_tokens(request, entry), most_completion_tokens(request.max_tokens, entry)


def most_completion_tokens(max_tokens: int, entry: ModelEntry) -> int:
    """An upper bound for the tokens of the completion. Adapters always send `max_tokens`; where a provider does not
    count a model's thinking against it, `entry.options["thinking_budget"]` does, or else the model's context."""
    if not entry.options.get("enable_thinking"):
        return max_tokens
    budget = entry.options.get("thinking_budget")
    return max_tokens + (budget if isinstance(budget, int) else entry.context_tokens)


def most_text_tokens(texts: Iterable[str]) -> int:
    """An upper bound for texts to be embedded or ranked."""
    return sum(_A_MESSAGE + _most(text) for text in texts)


def _of_message(message: ChatMessage) -> int:
    total = _A_MESSAGE + _most(message.content) + _most(message.name) + len(message.tool_call_id)
    for call in message.tool_calls:
        total += _A_MESSAGE + len(call.id) + _most(call.name) + _SCHEMA * _most(call.arguments)
    return total


def _of_json(value: object) -> int:
    return _SCHEMA * len(json.dumps(value))


def _most(text: str) -> int:
    """Bytes of `text` in UTF-8, as it is or in form C, whichever are more."""
    if text.isascii():
        return len(text)
    size = len(text.encode("utf-8", "surrogatepass"))
    if unicodedata.is_normalized("NFC", text):
        return size
    return max(size, len(unicodedata.normalize("NFC", text).encode("utf-8", "surrogatepass")))
