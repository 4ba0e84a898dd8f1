"""Server-sent events in OpenAI's form. What all chunks of a stream share is written once."""

import time
from secrets import token_hex
from typing import Any, Final, Protocol

import orjson

from voicehelper.context import current_context
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.openai.events import Event, Grounded, route_facts
from voicehelper.gateway.openai_errors import openai_body
from voicehelper.gateway.problems import error_body
from voicehelper.ports.chat import ChatDelta, ChatDone, ChatToolDelta, ChatUsage, TokenLogprob

DONE: Final = b"data: [DONE]\n\n"
ALIVE: Final = b": at work\n\n"
_FINISH = {"cancelled": "stop"}
_LINE_ENDS = ((b"\xe2\x80\xa8", b"\\u2028"), (b"\xe2\x80\xa9", b"\\u2029"), (b"\xc2\x85", b"\\u0085"))


class Frames(Protocol):
    """One stream's format."""

    def opening(self) -> bytes:
        """Before the first piece."""
        ...

    def piece(self, event: Event) -> bytes:
        """Of anything but the end; perhaps nothing."""
        ...

    def ending(self, done: ChatDone) -> bytes:
        """The end."""
        ...

    def failed(self, error: VoiceHelperError) -> bytes:
        """The end of a stream that broke."""
        ...


class ChatFrames:
    """`chat.completion.chunk`s."""

    def __init__(self, model: str, usage: bool, logprobs: bool) -> None:
        self._usage = usage
        self._logprobs = logprobs
        self._grounded: Grounded | None = None
        shared = head(new_id("chatcmpl-"), "chat.completion.chunk", model)
        self._shared = b"data: " + shared[:-1]
        self._before = self._shared + b',"choices":[{"index":0,"delta":'
        self._after = b',"finish_reason":null}]' + (b',"usage":null}\n\n' if usage else b"}\n\n")
        self._text = self._before + b'{"content":'
        self._text_after = b',"logprobs":null' + self._after
        self._plain_after = b"}" + self._text_after

    def opening(self) -> bytes:
        """The role."""
        return self._before + b'{"role":"assistant","content":""}' + self._text_after

    def piece(self, event: Event) -> bytes:
        """A delta."""
        if type(event) is ChatDelta:
            if event.logprobs and self._logprobs:
                return self._text + dumps(event.text) + b'},"logprobs":' + dumps(logprobs(event.logprobs)) + self._after
            return self._text + dumps(event.text) + self._plain_after
        if type(event) is ChatToolDelta:
            return self._before + dumps({"tool_calls": [tool_delta(event)]}) + self._text_after
        if type(event) is Grounded:
            self._grounded = event
        return b""

    def ending(self, done: ChatDone) -> bytes:
        """Why it ended, what it rests on and how it came about; then what it took, if that was asked for."""
        grounded = self._grounded
        delta = {"annotations": [citation(c) for c in grounded.citations]} if grounded is not None else {}
        end = b',"logprobs":null,"finish_reason":"' + finish(done).encode() + b'"}]'
        facts = b',"voicehelper":' + dumps(route_facts(done, grounded))
        last = self._before + dumps(delta) + end + facts + (b',"usage":null}\n\n' if self._usage else b"}\n\n")
        if not self._usage:
            return last + DONE
        return last + self._shared + b',"choices":[],"usage":' + dumps(usage_view(done.usage)) + b"}\n\n" + DONE

    def failed(self, error: VoiceHelperError) -> bytes:
        """The error in a chunk's place."""
        return failure(error) + DONE


class TextFrames:
    """`text_completion` chunks."""

    def __init__(self, model: str, usage: bool, logprobs: bool) -> None:
        self._usage = usage
        self._logprobs = logprobs
        self._grounded: Grounded | None = None
        self._offset = 0
        self._shared = b"data: " + head(new_id("cmpl-"), "text_completion", model)[:-1]
        self._before = self._shared + b',"choices":[{"index":0,"text":'
        self._null = b',"usage":null}\n\n' if usage else b"}\n\n"

    def opening(self) -> bytes:
        """Nothing: the text begins at once."""
        return b""

    def piece(self, event: Event) -> bytes:
        """A piece of the text."""
        if type(event) is Grounded:
            self._grounded = event
        if type(event) is not ChatDelta:
            return b""
        found: object = None
        if event.logprobs and self._logprobs:
            found = legacy_logprobs(event.logprobs, self._offset)
        self._offset += len(event.text)
        middle = b',"logprobs":' + dumps(found) + b',"finish_reason":null}]'
        return self._before + dumps(event.text) + middle + self._null

    def ending(self, done: ChatDone) -> bytes:
        """Why it ended; then what it took, if that was asked for."""
        end = b'"","logprobs":null,"finish_reason":"' + finish(done).encode() + b'"}]'
        last = self._before + end + b',"voicehelper":' + dumps(route_facts(done, self._grounded)) + self._null
        if not self._usage:
            return last + DONE
        return last + self._shared + b',"choices":[],"usage":' + dumps(usage_view(done.usage)) + b"}\n\n" + DONE

    def failed(self, error: VoiceHelperError) -> bytes:
        """The error in a chunk's place."""
        return failure(error) + DONE


def new_id(prefix: str) -> str:
    """An id as OpenAI's look."""
    return prefix + token_hex(12)


def head(id_: str, object_: str, model: str) -> bytes:
    """The fields that every object of a completion has, as a JSON object."""
    return dumps({"id": id_, "object": object_, "created": int(time.time()), "model": model})


def failure(error: VoiceHelperError) -> bytes:
    """An error within a stream."""
    return b"data: " + dumps(openai_body(error_body(error, current_context()))) + b"\n\n"


def dumps(value: Any) -> bytes:
    """JSON on one line, whatever counts as the end of one. Lone surrogates become question marks."""
    try:
        data = orjson.dumps(value)
    except orjson.JSONEncodeError:
        data = orjson.dumps(_plain(value))
    if b"\xe2\x80" in data or b"\xc2\x85" in data:
        for char, escape in _LINE_ENDS:
            data = data.replace(char, escape)
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode(errors="replace").decode()
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def finish(done: ChatDone) -> str:
    """OpenAI's word for why it ended."""
    return _FINISH.get(done.finish_reason, done.finish_reason)


def usage_view(usage: ChatUsage) -> dict[str, Any]:
    """`usage` of a completion."""
    return {
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": usage.cached_tokens, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": usage.reasoning_tokens, "audio_tokens": 0},
    }


def logprobs(tokens: list[TokenLogprob] | tuple[TokenLogprob, ...]) -> dict[str, Any]:
    """`logprobs` of a chat completion's choice."""
    content = [
        {**_token(each.token, each.logprob), "top_logprobs": [_token(token, value) for token, value in each.top]}
        for each in tokens
    ]
    return {"content": content, "refusal": None}


def _token(token: str, logprob: float) -> dict[str, Any]:
    """No number below -9999, which is OpenAI's least: JSON has no infinity."""
    return {"token": token, "logprob": max(logprob, -9999.0), "bytes": list(token.encode(errors="replace"))}


def legacy_logprobs(tokens: list[TokenLogprob] | tuple[TokenLogprob, ...], offset: int) -> dict[str, Any]:
    """`logprobs` of a text completion's choice; `offset` is that of the first token in the text."""
    offsets = []
    for each in tokens:
        offsets.append(offset)
        offset += len(each.token)
    return {
        "tokens": [each.token for each in tokens],
        "token_logprobs": [max(each.logprob, -9999.0) for each in tokens],
        "top_logprobs": [dict(each.top) or {each.token: each.logprob} for each in tokens],
        "text_offset": offsets,
    }


def tool_delta(event: ChatToolDelta) -> dict[str, Any]:
    """A piece of a tool call; the first one has its id and name."""
    function = {"name": event.name, "arguments": event.arguments} if event.name else {"arguments": event.arguments}
    if not event.id:
        return {"index": event.index, "function": function}
    return {"index": event.index, "id": event.id, "type": "function", "function": function}


def citation(found: Any) -> dict[str, Any]:
    """An annotation of a message: which characters of it rest on which text of which document."""
    return {"type": "file_citation", "file_citation": cited(found)}


def cited(found: Any) -> dict[str, Any]:
    """OpenAI's fields of a file citation, and ours."""
    return {
        "file_id": str(found.document_id),
        "filename": found.document_name,
        "index": found.end,
        "start_index": found.start,
        "end_index": found.end,
        "quote": found.quote,
        "page": found.page,
        "heading": list(found.heading),
        "number": found.index,
        "score": found.score,
    }
