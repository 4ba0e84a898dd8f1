"""The catalogue of errors: complete, translated, documented, and rendered in one way."""

import pickle
import re
from pathlib import Path

import pytest
from starlette.exceptions import HTTPException

from voicehelper import errors
from voicehelper.context import RequestContext
from voicehelper.errors import VoiceHelperError
from voicehelper.gateway.catalogue import ZH, choose_locale, text_of
from voicehelper.gateway.problems import as_error, error_body

DOCS = Path(__file__).parents[3] / "docs" / "api.md"


def kinds() -> list[type[VoiceHelperError]]:
    """The error tree."""
    found = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, VoiceHelperError)]
    return sorted(set(found), key=lambda kind: kind.code)


@pytest.mark.parametrize("kind", kinds())
def test_every_error_is_translated_documented_and_portable(kind: type[VoiceHelperError]) -> None:
    assert kind.code in ZH
    row = rf"^\| {kind.code} \| `{kind.__name__}` \| {re.escape(ZH[kind.code])} \| {re.escape(kind.default_message)} \|"
    assert re.search(row, DOCS.read_text(), re.MULTILINE), f"docs/api.md lacks {kind.code} {kind.__name__}"
    error = kind("words", {"a": 1}, 2.0)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message, copy.details, copy.retry_after) == (kind, "words", {"a": 1}, 2.0)


def test_codes_are_unique_and_nothing_undocumented_is_translated() -> None:
    codes = [kind.code for kind in kinds()]
    assert len(set(codes)) == len(codes)
    assert set(codes) == set(ZH)


def test_specific_words_survive_translation() -> None:
    body = error_body(errors.NotFound("No such base"), RequestContext(trace_id="t", locale="zh-CN"))
    assert (body.message, body.details) == ("未找到", {"reason": "No such base"})
    body = error_body(errors.NotFound("No such base"), RequestContext(trace_id="t", locale="en"))
    assert body.message == "No such base"


def test_errors_of_other_rooms_have_at_least_a_general_text() -> None:
    class Special(errors.Conflict):
        code = 40977

    assert text_of(Special("x"), "zh") == "与现有数据冲突"


def test_what_wraps_an_error_is_seen_through() -> None:
    inner = errors.Overloaded("full", retry_after=3)

    class RemoteFailure(Exception):
        """What Ray makes of an exception of another process."""

        cause = inner

    assert as_error(RemoteFailure()) is inner
    outer = HTTPException(400)
    outer.__cause__ = errors.PayloadTooLarge()
    assert as_error(outer).code == 41301


def test_the_unknown_says_nothing() -> None:
    error = as_error(KeyError("secret"))
    assert (error.code, error.message, error.details) == (50000, "Internal error", {})
    assert as_error(HTTPException(502, "upstream 10.0.0.1")).message == "Internal error"
    assert as_error(HTTPException(418)).code == 40001


@pytest.mark.parametrize(
    ("header", "locale"),
    [
        ("", "zh-CN"),
        ("en", "en"),
        ("EN-gb", "en"),
        ("de, en;q=0.5, zh;q=0.4", "en"),
        ("*", "zh-CN"),
        ("q=;;,,", "zh-CN"),
    ],
)
def test_language(header: str, locale: str) -> None:
    assert choose_locale(header) == locale
