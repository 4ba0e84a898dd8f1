"""`/v1/audio/transcriptions`: recordings written down, as OpenAI's clients ask for it."""

import json
import math
import zlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse
from pydantic import BaseModel, ValidationError
from starlette.datastructures import FormData, UploadFile

from voicehelper.context import current_context
from voicehelper.errors import InvalidInput, ModelUnavailable, NotFound, UnsupportedType
from voicehelper.gateway.openai_errors import openai_body
from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.gateway.problems import as_error, error_body
from voicehelper.gateway.services import Services
from voicehelper.gateway.stream import while_connected
from voicehelper.identity import Principal
from voicehelper.voice.dictation import Dictation, Passage, Wish
from voicehelper.voice.subtitles import Line, joined, lines, separator, srt, vtt
from voicehelper.wire.transcriptions import (
    SegmentView,
    TextDelta,
    TextDone,
    Transcription,
    TranscriptionForm,
    Usage,
    VerboseTranscription,
    WordView,
    form_schema,
)

router = APIRouter(prefix="/v1/audio", tags=["speech"])

_ALIASES = ("whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe")  # each stands for the configured model
_LISTS = frozenset({"timestamp_granularities[]", "keywords[]"})
_MOST_FIELDS = 150
_FIELD_BYTES = 64 * 1024
_BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": form_schema()}}}}

Render = Callable[[list[Passage], float, TranscriptionForm], Response]


@router.post(
    "/transcriptions",
    summary="Write a recording down",
    openapi_extra=_BODY,
    response_model=Transcription,
    dependencies=[requires("speech:use")],
)
async def transcribe(request: Request, caller: Caller, services: Wired) -> Response:
    """Takes and gives what OpenAI's does: `json`, `text`, `srt`, `vtt`, `verbose_json` with times of segments and
    words, or a stream of events. The recording is cut in its silences. Errors have OpenAI's `error` object as well."""
    dictation = services.dictation
    if dictation is None:
        raise ModelUnavailable
    data, form = await _read(request)
    await _check_model(dictation, form.model)
    wish = await _wish(form, caller, services)
    if form.stream and form.response_format == "json":
        return await _streamed(dictation, data, wish)

    async def work() -> Response:
        async with dictation.open(data) as recording:
            passages = [passage async for passage in recording.passages(wish)]
            return _RENDERERS[form.response_format](passages, recording.seconds, form)

    return await while_connected(request.receive, work())


async def _read(request: Request) -> tuple[bytes, TranscriptionForm]:
    """The sound file and the other fields."""
    if not request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        raise UnsupportedType("Send the recording as multipart/form-data")
    async with request.form(max_files=1, max_fields=_MOST_FIELDS, max_part_size=_FIELD_BYTES) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise InvalidInput('The form needs a file named "file"', {"param": "file"})
        return await file.read(), _fields(form)


def _fields(form: FormData) -> TranscriptionForm:
    plain = {name: value for name, value in form.items() if isinstance(value, str) and name not in _LISTS}
    lists = {name: form.getlist(name) for name in _LISTS if name in form}
    try:
        return TranscriptionForm.model_validate(plain | lists)
    except ValidationError as error:
        raise RequestValidationError([{**e, "loc": ("body", *e["loc"])} for e in error.errors()]) from error


async def _check_model(dictation: Dictation, asked: str) -> None:
    name = await dictation.model()
    if asked not in {name, *_ALIASES}:
        raise NotFound(f"There is no model {asked!r} here", {"param": "model", "models": [name, *_ALIASES]})


async def _wish(form: TranscriptionForm, caller: Principal, services: Services) -> Wish:
    language = form.language.lower().partition("-")[0]
    if language and not (language.isascii() and language.isalpha() and len(language) in {2, 3}):
        raise InvalidInput("language is an ISO 639-1 code", {"param": "language"})
    own = await services.hot_words.of(caller.tenant_id) if services.hot_words else ()
    prompt = (form.prompt.strip(),) if form.prompt.strip() else ()
    timed = form.response_format in {"srt", "vtt", "verbose_json"}
    return Wish(language, (*prompt, *form.keywords, *own), words=timed)


def _json(passages: list[Passage], seconds: float, _form: TranscriptionForm) -> Response:
    return _body(Transcription(text=joined(passages), usage=Usage(seconds=seconds)))


def _verbose(passages: list[Passage], seconds: float, form: TranscriptionForm) -> Response:
    words = [
        WordView(word=word.text.strip(), start=word.start_s, end=word.end_s)
        for passage in passages
        for word in passage.transcript.words
    ]
    segments = [_segment(number, line) for number, line in enumerate(lines(passages))]
    return _body(
        VerboseTranscription(
            text=joined(passages),
            usage=Usage(seconds=seconds),
            language=passages[0].transcript.language if passages else form.language,
            duration=seconds,
            segments=segments if "segment" in form.timestamp_granularities else None,
            words=words if "word" in form.timestamp_granularities else None,
        )
    )


def _segment(number: int, line: Line) -> SegmentView:
    data = line.text.encode()
    return SegmentView(
        id=number,
        start=line.start_s,
        end=line.end_s,
        text=line.text,
        avg_logprob=math.log(max(line.confidence, 1e-9)),
        compression_ratio=len(data) / len(zlib.compress(data)),
    )


def _body(model: BaseModel) -> Response:
    return JSONResponse(model.model_dump(mode="json", exclude_none=True))


_RENDERERS: dict[str, Render] = {
    "json": _json,
    "verbose_json": _verbose,
    "text": lambda passages, _seconds, _form: PlainTextResponse(joined(passages) + "\n"),
    "srt": lambda passages, _seconds, _form: PlainTextResponse(srt(lines(passages))),
    "vtt": lambda passages, _seconds, _form: PlainTextResponse(vtt(lines(passages)), media_type="text/vtt"),
}


async def _streamed(dictation: Dictation, data: bytes, wish: Wish) -> Response:
    """The first event is waited for, so that what goes wrong before it has its own status."""
    events = _events(dictation, data, wish)
    first = await anext(events)

    async def body() -> AsyncGenerator[str, None]:
        async with aclosing(events):
            yield _event(first)
            try:
                async for event in events:
                    yield _event(event)
            except Exception as failure:  # noqa: BLE001 - becomes the stream's last event; `as_error` logs the rest
                yield _data(openai_body(error_body(as_error(failure), current_context())))

    headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
    return StreamingResponse(body(), media_type="text/event-stream", headers=headers)


async def _events(dictation: Dictation, data: bytes, wish: Wish) -> AsyncGenerator[BaseModel, None]:
    async with dictation.open(data) as recording:
        text = ""
        async for passage in recording.passages(wish):
            delta = separator(text, passage) + passage.transcript.text
            text += delta
            yield TextDelta(delta=delta)
        yield TextDone(text=text, usage=Usage(seconds=recording.seconds))


def _event(event: BaseModel) -> str:
    return _data(event.model_dump(mode="json"))


def _data(value: dict[str, Any]) -> str:
    return f"data: {json.dumps(value)}\n\n"
