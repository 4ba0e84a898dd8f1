"""`/v1/embeddings`."""

import base64
from typing import Any

import numpy as np
import orjson

from voicehelper.errors import ModelUnavailable
from voicehelper.gateway.openai.lean import Call
from voicehelper.gateway.openai.requests import FEATURE
from voicehelper.models.model import Caller
from voicehelper.ports.embedder import Vectors
from voicehelper.wire.openai_embeddings import EmbeddingCreate


async def embedding(call: Call) -> None:
    """Answer with vectors."""
    if call.services.embeddings is None:
        raise ModelUnavailable
    body = call.parse(EmbeddingCreate)
    texts = [body.input] if isinstance(body.input, str) else body.input
    made = await call.services.embeddings.embed(caller_of(call), body.model, texts, body.input_type, body.dimensions)
    shown = _base64(made.vectors) if body.encoding_format == "base64" else _floats(made.vectors)
    content = {
        "object": "list",
        "data": [{"object": "embedding", "index": place, "embedding": one} for place, one in enumerate(shown)],
        "model": body.model,
        "usage": {"prompt_tokens": made.tokens, "total_tokens": made.tokens},
    }
    await call.reply(orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY))


def caller_of(call: Call) -> Caller:
    """Who pays."""
    who = call.principal
    return Caller(who.tenant_id, str(who.user_id), str(who.key_id or ""), FEATURE)


def _floats(vectors: Vectors) -> list[Any]:
    return list(np.ascontiguousarray(vectors, dtype=np.float32))


def _base64(vectors: Vectors) -> list[str]:
    """32-bit floats, little-endian, as OpenAI's clients decode them."""
    return [base64.b64encode(row.tobytes()).decode() for row in np.ascontiguousarray(vectors, dtype="<f4")]
