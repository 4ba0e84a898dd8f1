"""Point 4: everything that the official client does, with nothing but the official client.

    python -m tests.prove.router_openai http://127.0.0.1:8000 KEY --model NAME [--tools NAME] [--kb NAME] [--embed NAME]

One line each; the exit status is 1 if any fails. `--tools` names the model for tools where the first one is too small.
"""

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import openai

_WEATHER: Any = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "The weather in a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
_ANSWER: Any = {
    "type": "json_schema",
    "json_schema": {
        "name": "capital",
        "strict": True,
        "schema": {
            "type": "object",
            "properties": {"capital": {"type": "string"}},
            "required": ["capital"],
            "additionalProperties": False,
        },
    },
}
_ASKED: Any = [{"role": "user", "content": "What is the capital of France? Answer in one short sentence."}]


@dataclass(frozen=True)
class Names:
    """What is asked: the model, one that calls tools, a knowledge base with a question, an embedder."""

    model: str
    tools: str = ""
    kb: str = ""
    question: str = "退货要多久到账？"
    embed: str = ""


def steps(client: openai.OpenAI, names: Names) -> dict[str, Callable[[], str]]:
    """Each returns what came of it, and raises where that is not right."""
    every: dict[str, Callable[[], str]] = {
        "chat": lambda: chat(client, names.model),
        "stream": lambda: stream(client, names.model),
        "structured output": lambda: structured(client, names.model),
        "responses": lambda: responses(client, names.model),
        "completions": lambda: completions(client, names.model),
        "models": lambda: models(client, names),
        "tools": lambda: tools(client, names.tools or names.model),
        "refusals": lambda: refusals(client, names.model),
        "framing": lambda: framing(client, names.model),
    }
    if names.embed:
        every["embeddings"] = lambda: embeddings(client, names.embed)
    if names.kb:
        every["grounded answer"] = lambda: grounded(client, names)
    return every


def chat(client: openai.OpenAI, model: str) -> str:
    done = client.chat.completions.create(model=model, messages=_ASKED, max_tokens=40, temperature=0)
    text = done.choices[0].message.content
    assert text and done.choices[0].finish_reason in {"stop", "length"} and done.usage
    assert done.usage.total_tokens == done.usage.prompt_tokens + done.usage.completion_tokens > 0
    return f"{text!r}, {done.usage.total_tokens} tokens"


def stream(client: openai.OpenAI, model: str) -> str:
    text, finish, usage, chunks = "", "", None, 0
    options: Any = {"include_usage": True}
    for chunk in client.chat.completions.create(
        model=model, messages=_ASKED, max_tokens=40, temperature=0, stream=True, stream_options=options
    ):
        chunks += 1
        usage = chunk.usage or usage
        for choice in chunk.choices:
            text += choice.delta.content or ""
            finish = choice.finish_reason or finish
    assert text and finish in {"stop", "length"} and usage is not None and usage.completion_tokens > 0
    return f"{text!r} in {chunks} chunks, finish {finish}, usage {usage.total_tokens}"


def structured(client: openai.OpenAI, model: str) -> str:
    done = client.chat.completions.create(
        model=model, messages=_ASKED, max_tokens=60, temperature=0, response_format=_ANSWER
    )
    found = json.loads(done.choices[0].message.content or "")
    assert set(found) == {"capital"} and isinstance(found["capital"], str)
    return str(found)


def tools(client: openai.OpenAI, model: str) -> str:
    """Asked for in pieces, called, answered: the round that every agent makes."""
    asked: Any = [{"role": "user", "content": "What is the weather in Hangzhou? Use the tool."}]
    name, arguments, call = "", "", ""
    for chunk in client.chat.completions.create(model=model, messages=asked, tools=[_WEATHER], stream=True):
        for delta in (chunk.choices[0].delta.tool_calls or ()) if chunk.choices else ():
            function = delta.function
            call = delta.id or call
            name += (function.name or "") if function else ""
            arguments += (function.arguments or "") if function else ""
    assert name == "weather" and "city" in json.loads(arguments) and call
    called = {"id": call, "type": "function", "function": {"name": name, "arguments": arguments}}
    asked += [
        {"role": "assistant", "content": None, "tool_calls": [called]},
        {"role": "tool", "tool_call_id": call, "content": "sunny"},
    ]
    done = client.chat.completions.create(model=model, messages=asked, tools=[_WEATHER], max_tokens=60)
    assert done.choices[0].message.content and "sunny" in done.choices[0].message.content.lower()
    return f"{model}: {name}({arguments}) -> {done.choices[0].message.content!r}"


def responses(client: openai.OpenAI, model: str) -> str:
    done = client.responses.create(model=model, input="Say hello.", max_output_tokens=20)
    assert done.status in {"completed", "incomplete"} and done.output_text
    kinds = [
        e.type for e in client.responses.create(model=model, input="Say hello.", max_output_tokens=20, stream=True)
    ]
    assert kinds[0] == "response.created" and kinds[-1] in {"response.completed", "response.incomplete"}
    assert "response.output_text.delta" in kinds
    return f"{done.output_text!r}; {len(kinds)} events"


def completions(client: openai.OpenAI, model: str) -> str:
    done = client.completions.create(model=model, prompt="The capital of France is", max_tokens=8, temperature=0)
    assert done.choices[0].text
    return repr(done.choices[0].text)


def models(client: openai.OpenAI, names: Names) -> str:
    listed = {model.id for model in client.models.list()}
    wanted = {names.model, "auto", *filter(None, (names.tools, names.embed)), *([f"kb:{names.kb}"] if names.kb else [])}
    assert wanted <= listed, wanted - listed
    assert client.models.retrieve(names.model).id == names.model
    return f"{len(listed)} listed"


def embeddings(client: openai.OpenAI, model: str) -> str:
    made = client.embeddings.create(model=model, input=["退款到账", "refund", "shipping"])
    sizes = {len(item.embedding) for item in made.data}
    assert len(made.data) == 3 and len(sizes) == 1 and made.usage.total_tokens > 0
    return f"3 of {sizes.pop()} numbers"


def grounded(client: openai.OpenAI, names: Names) -> str:
    """`kb:NAME`: an answer with its sources as annotations."""
    asked: Any = [{"role": "user", "content": names.question}]
    done = client.chat.completions.create(model=f"kb:{names.kb}", messages=asked)
    message = done.choices[0].message
    assert message.content and message.annotations, f"{message}"
    return f"{message.content!r}, {len(message.annotations)} annotation(s): {str(message.annotations[0])[:120]}"


def refusals(client: openai.OpenAI, model: str) -> str:
    """Statuses as vLLM's own tests of conformance expect them."""
    found = []
    for wanted, how in _REFUSED:
        given = {"model": model, "messages": _ASKED, "max_tokens": 5, **how}
        try:
            client.chat.completions.create(**given)
        except openai.APIStatusError as error:
            assert type(error) is wanted, f"{how}: {error!r}"
            assert isinstance(error.body, dict) and {"message", "type", "code"} <= set(error.body), error.body
            found.append(error.status_code)
        else:
            raise AssertionError(f"{how} was accepted")
    try:
        client.with_options(api_key="sk-nobody").models.list()
    except openai.AuthenticationError as error:
        found.append(error.status_code)
    return str(found)


_REFUSED: tuple[tuple[type[openai.APIStatusError], dict[str, Any]], ...] = (
    (openai.NotFoundError, {"model": "no-such-model"}),
    (openai.BadRequestError, {"max_tokens": 0}),
    (openai.BadRequestError, {"temperature": 5}),
    (openai.BadRequestError, {"messages": []}),
    (openai.BadRequestError, {"messages": [{"role": "wizard", "content": "x"}]}),
    (openai.BadRequestError, {"stream_options": {"include_usage": True}}),  # without `stream`
)


def framing(client: openai.OpenAI, model: str) -> str:
    """A stream's bytes: `data: ` lines parted by empty ones, the role first, one finish, usage alone, `[DONE]` last."""
    create = client.chat.completions.with_streaming_response.create
    options: Any = {"include_usage": True}
    with create(model=model, messages=_ASKED, max_tokens=8, stream=True, stream_options=options) as reply:
        assert reply.headers["content-type"].startswith("text/event-stream")
        lines = [line for line in reply.iter_lines() if line]
    assert all(line.startswith("data: ") for line in lines) and lines[-1] == "data: [DONE]"
    chunks = [json.loads(line[6:]) for line in lines[:-1]]
    assert len({chunk["id"] for chunk in chunks}) == 1 and {c["object"] for c in chunks} == {"chat.completion.chunk"}
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    finishes = [c["finish_reason"] for chunk in chunks for c in chunk["choices"] if c["finish_reason"]]
    assert len(finishes) == 1
    assert chunks[-1]["choices"] == [] and chunks[-1]["usage"]["completion_tokens"] > 0
    assert all(chunk.get("usage") is None for chunk in chunks[:-1])
    return f"{len(chunks)} chunks"


def run(client: openai.OpenAI, names: Names) -> list[tuple[str, str, bool]]:
    """What, figure and verdict of each step."""
    found = []
    for what, step in steps(client, names).items():
        try:
            found.append((what, step(), True))
        except (openai.OpenAIError, AssertionError, LookupError, ValueError, TypeError) as error:
            found.append((what, f"{type(error).__name__}: {str(error)[:300]}", False))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url")
    parser.add_argument("key")
    parser.add_argument("--model", required=True)
    for name in ("tools", "kb", "embed"):
        parser.add_argument(f"--{name}", default="")
    given = parser.parse_args()
    with openai.OpenAI(base_url=f"{given.url}/v1", api_key=given.key, max_retries=0, timeout=120) as client:
        found = run(client, Names(given.model, given.tools, given.kb, embed=given.embed))
    for what, figure, ok in found:
        print(f"{'pass' if ok else 'FAIL'}  {what}: {figure}")
    return 0 if all(ok for _, _, ok in found) else 1


if __name__ == "__main__":
    sys.exit(main())
