"""Length of a request in tokens, before any tokenizer is asked: what is set aside for it, and whether it fits."""

import json

from voicehelper.ports.chat import ChatMessage, ChatRequest

_A_MESSAGE = 4
_AN_IMAGE = 1600


def estimate_tokens(text: str) -> int:
    """An upper-side estimate: one token for each Chinese character, one for each three of ASCII.

    Current tokenizers need 0.6 to 1.1 for the one, and about one for four of the other; long runs of digits or of
    encoded bytes need more than is said here. Counts bytes only: an encoder is quicker than any pattern.
    """
    extra = 0 if text.isascii() else len(text.encode("utf-8", "surrogatepass")) - len(text)
    return (extra + 1) // 2 + (max(0, len(text) - extra // 2) + 2) // 3


def prompt_tokens(request: ChatRequest) -> int:
    """The estimate for all that the model is to read."""
    total = sum(map(_of_message, request.messages))
    if request.tools:
        total += sum(
            estimate_tokens(tool.name + tool.description) + estimate_tokens(json.dumps(tool.parameters))
            for tool in request.tools
        )
    if request.json_schema is not None:
        total += estimate_tokens(json.dumps(request.json_schema))
    return total


def _of_message(message: ChatMessage) -> int:
    total = _A_MESSAGE + estimate_tokens(message.content) + len(message.images) * _AN_IMAGE
    for call in message.tool_calls:
        total += estimate_tokens(call.name + call.arguments)
    return total
