"""From a text frame to a client event, or to words about what is wrong with it."""

import re
from typing import Any, Final

import orjson
from pydantic import ValidationError

from voicehelper.gateway.realtime.refusals import Refusal
from voicehelper.wire.realtime import CLIENT_EVENTS, ClientEvent
from voicehelper.wire.realtime_session import TAGS

LONGEST_EVENT: Final = 5 * 1024 * 1024
"""Characters of a text frame."""
LONGEST_WITHOUT_SOUND: Final = 128 * 1024
"""Characters of a text frame besides the sound of an append. A few MiB of small values would take seconds to check, and
for that long nobody else is served."""

_CODES: Final = {
    "extra_forbidden": "unknown_parameter",
    "missing": "missing_required_parameter",
    "string_too_long": "string_above_max_length",
    "too_long": "array_above_max_length",
    "union_tag_not_found": "missing_required_parameter",
}
_SOUND: Final = re.compile(r'"audio"[ \t\r\n]{0,100}:[ \t\r\n]{0,100}"')
_NO_STEPS: Final = TAGS | {"int", "str"}  # alternatives, which pydantic counts as steps of the path


def parse(text: str) -> ClientEvent:
    """The event in a text frame. Raises `Refusal`."""
    if len(text) > LONGEST_EVENT:
        raise Refusal("event_too_large", f"An event may have {LONGEST_EVENT} characters")
    text, sound = _without_sound(text)
    try:
        fields = orjson.loads(text)
        if sound and isinstance(fields, dict) and fields.get("audio") == "":
            fields["audio"] = orjson.loads(sound)
    except orjson.JSONDecodeError:
        raise Refusal("invalid_json", "The event is not JSON") from None
    if not isinstance(fields, dict):
        raise Refusal("invalid_event", "An event is a JSON object")
    return _event(fields)


def _without_sound(text: str) -> tuple[str, str]:
    """A long event without its sound, and that, quoted. Nothing is built of what was sent before its size is known.

    Raises `Refusal`.
    """
    sound = ""
    if len(text) > LONGEST_WITHOUT_SOUND and (found := _SOUND.search(text)):
        end = text.find('"', found.end()) + 1
        start = found.end() - 1
        if end:
            text, sound = f'{text[:start]}""{text[end:]}', text[start:end]
    if len(text) > LONGEST_WITHOUT_SOUND:
        message = f"Besides sound, an event may have {LONGEST_WITHOUT_SOUND} characters"
        raise Refusal("event_too_large", message)
    return text, sound


def _event(fields: dict[str, Any]) -> ClientEvent:
    event_id = fields.get("event_id")
    named = event_id if isinstance(event_id, str) and len(event_id) <= 512 else None
    kind = fields.get("type")
    if kind is None:
        raise Refusal("missing_required_parameter", "Missing required parameter: 'type'.", "type", named)
    if not isinstance(kind, str) or kind not in CLIENT_EVENTS:
        known = ", ".join(f"'{name}'" for name in CLIENT_EVENTS)
        raise Refusal("invalid_value", f"Not a client event. Supported are: {known}.", "type", named)
    try:
        return CLIENT_EVENTS[kind].model_validate(fields)
    except ValidationError as failure:
        refusal = _refusal(failure, named)
        refusal.of_update = kind == "session.update"
        raise refusal from None


def _refusal(failure: ValidationError, event_id: str | None) -> Refusal:
    """The first thing that is wrong. Values are not echoed: they may be long, and secrets."""
    error = failure.errors(include_url=False, include_input=False, include_context=True)[0]
    param = _path(error["loc"])
    if error["type"].startswith("union_tag"):
        param = f"{param}.type"
    code = _CODES.get(error["type"]) or ("invalid_type" if error["type"].endswith("_type") else "invalid_value")
    if code == "unknown_parameter":
        message = f"Unknown parameter: '{param}'."
    elif code == "missing_required_parameter":
        message = f"Missing required parameter: '{param}'."
    else:
        message = f"Invalid '{param}': {error['msg']}."
    return Refusal(code, message[:500], param[:200], event_id)


def _path(place: tuple[int | str, ...]) -> str:
    """`("session", "audio", "output", 0)` as `session.audio.output[0]`."""
    path = ""
    for step in place:
        if isinstance(step, int):
            path += f"[{step}]"
        elif step not in _NO_STEPS and step.isidentifier():
            path += f".{step}" if path else step
    return path.encode("utf-8", "replace").decode()
