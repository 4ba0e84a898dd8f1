"""Everything through OpenAI's own client: chat, a stream, tools, structured output, embeddings, a grounded answer.

pip install openai
export OPENAI_BASE_URL=http://127.0.0.1:8000/v1 OPENAI_API_KEY=vhk_...   # a key with models:use and knowledge:read
python examples/openai/chat.py [MODEL] [KNOWLEDGE_BASE]
"""

import json
import sys
from typing import Any

import openai
from pydantic import BaseModel

MODEL = sys.argv[1] if len(sys.argv) > 1 else "auto"
BASE = sys.argv[2] if len(sys.argv) > 2 else ""
client = openai.OpenAI()


class Order(BaseModel):
    """What is read out of a sentence."""

    product: str
    quantity: int


def chat() -> None:
    """One answer, and which model gave it."""
    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "你好，你是谁？"}])
    print(answer.choices[0].message.content)
    print("  ", (answer.model_extra or {}).get("voicehelper"))


def stream() -> None:
    """The same, as it is written."""
    chunks = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "从一数到五。"}],
        stream=True,
        stream_options={"include_usage": True},
    )
    for chunk in chunks:
        if chunk.choices:
            print(chunk.choices[0].delta.content or "", end="", flush=True)
        elif chunk.usage:
            print(f"\n   {chunk.usage.total_tokens} tokens")


def tools() -> None:
    """The model asks for a function; we answer; it goes on."""
    weather = {
        "name": "weather",
        "description": "The weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    }
    turns: list[Any] = [{"role": "user", "content": "上海天气怎么样？"}]
    options: Any = {"model": MODEL, "tools": [{"type": "function", "function": weather}]}
    message = client.chat.completions.create(messages=turns, tool_choice="required", **options).choices[0].message
    turns.append(message.model_dump(exclude_none=True))
    for call in message.tool_calls or []:
        city = json.loads(call.function.arguments).get("city")
        turns.append({"role": "tool", "tool_call_id": call.id, "content": f"{city}：晴，22 度"})
    answer = client.chat.completions.create(messages=turns, tool_choice="none", **options)
    print(answer.choices[0].message.content)


def structured() -> None:
    """An object of a type of ours."""
    made = client.chat.completions.parse(
        model=MODEL, messages=[{"role": "user", "content": "我要三箱苹果"}], response_format=Order
    )
    print(repr(made.choices[0].message.parsed))


def embeddings() -> None:
    """Vectors of the instance's own model."""
    own = next(model.id for model in client.models.list() if "e5" in model.id)
    made = client.embeddings.create(model=own, input=["退款", "发货"])
    print(own, len(made.data), "x", len(made.data[0].embedding))


def responses() -> None:
    """The newer API."""
    print(client.responses.create(model=MODEL, input="用一句话介绍杭州。").output_text)


def grounded() -> None:
    """An answer from a knowledge base, and what it rests on."""
    answer = client.chat.completions.create(
        model=f"kb:{BASE}", messages=[{"role": "user", "content": "退款多久到账？"}]
    )
    message = answer.choices[0].message
    print(message.content)
    for annotation in message.annotations or []:
        found = (annotation.model_extra or {})["file_citation"]
        print("  ", found["filename"], found["page"], found["quote"])


if __name__ == "__main__":
    for part in (chat, stream, tools, structured, embeddings, responses, *((grounded,) if BASE else ())):
        print(f"\n== {part.__name__}")
        part()
