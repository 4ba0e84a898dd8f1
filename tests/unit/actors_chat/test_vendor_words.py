import pytest

from actors.chat.complaints import complaint, meaning
from actors.chat.cutting import Cut
from actors.chat.retry_after import retry_after
from actors.chat.sse import EventLines
from voicehelper.errors import ContextTooLong, InvalidInput, ModelUnavailable, Overloaded

NOW = 1_767_225_600.0  # 2026-01-01T00:00:00Z


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after": "2", "retry-after-ms": "1530"}, 1.53),
        ({"retry-after": "Thu, 01 Jan 2026 00:00:20 GMT"}, 20.0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "99999999"}, 3600.0),
        ({"x-ratelimit-reset-requests": "120ms", "x-ratelimit-remaining-requests": "4"}, 0.12),
        (
            {
                "x-ratelimit-reset-requests": "120ms",
                "x-ratelimit-remaining-requests": "4",
                "x-ratelimit-reset-tokens": "6m1.5s",
                "x-ratelimit-remaining-tokens": "0",
            },
            361.5,
        ),
        ({"x-ratelimit-reset-tokens": "never"}, None),
        (
            {
                "anthropic-ratelimit-input-tokens-reset": "2026-01-01T00:00:30Z",
                "anthropic-ratelimit-input-tokens-remaining": "0",
                "anthropic-ratelimit-requests-reset": "2026-01-01T00:01:00Z",
                "anthropic-ratelimit-requests-remaining": "9",
            },
            30.0,
        ),
        ({"anthropic-ratelimit-requests-reset": "2025-12-31T23:59:00Z"}, 0.0),
    ],
)
def test_when_to_call_again(headers, seconds) -> None:
    assert retry_after(headers, NOW) == seconds


@pytest.mark.parametrize(
    ("status", "body", "expected"),
    [
        (400, {"error": "Input is too large"}, InvalidInput),
        (400, {"detail": "nope"}, InvalidInput),
        (400, None, InvalidInput),
        (500, "oops", ModelUnavailable),
        (0, {"message": "x", "type": "BadRequestError", "code": 400}, InvalidInput),
        (0, {"message": "busy", "code": "429"}, Overloaded),
        (0, {"message": "This model's maximum context length is 5"}, ContextTooLong),
        (0, {"code": "Throttling.RateQuota", "message": "x"}, Overloaded),
        (0, {}, ModelUnavailable),
        (302, None, ModelUnavailable),
        (409, None, ModelUnavailable),
        # a limit of tokens a minute, not the context
        (429, {"error": {"message": "Request too large: context length", "code": "rate_limit_exceeded"}}, Overloaded),
    ],
)
def test_odd_complaints(status, body, expected) -> None:
    assert type(meaning(complaint(status, body))) is expected


def test_the_blamed_field_is_told() -> None:
    error = meaning(complaint(400, {"error": {"message": "secret sk-1", "param": "temperature"}}))
    assert error.details == {"field": "temperature"} and "sk-1" not in str(error)


@pytest.mark.parametrize("pieces", [["一二\n三"], ["一二", "\n", "三"], ["一", "二\n", "三"]])
def test_cut_at_a_stop_word(pieces) -> None:
    cut = Cut(("\n",))
    assert "".join(cut.feed(piece) for piece in pieces) == "一二" == cut.said
    assert cut.found and cut.rest() == ""


def test_cut_holds_back_what_may_begin_a_stop_word() -> None:
    cut = Cut(("\n\n",))
    assert (cut.feed("一\n"), cut.feed("二\n"), cut.rest()) == ("一", "\n二", "\n")
    assert not cut.found
    cut = Cut(("\n\n",))
    assert (cut.feed("一\n"), cut.feed("\n二")) == ("一", "") and cut.found


def test_events_wherever_they_are_cut() -> None:
    stream = 'event: x\r\ndata: {"a": "好"}\r\n\r\n: ping\n\ndata:{"b":1}\n\ndata: [DONE]\n\n'.encode()
    for size in range(1, 20):
        lines, payloads = EventLines(), []
        for start in range(0, len(stream), size):
            payloads += lines.feed(stream[start : start + size])
        assert payloads == ['{"a": "好"}'.encode(), b'{"b":1}'] and lines.done


def test_an_answer_that_is_no_stream() -> None:
    lines = EventLines()
    assert lines.feed(b'{"error":\n{"code":"x"}}') == []
    assert lines.rest() == b'{"error":\n{"code":"x"}}'
    page = EventLines()
    page.feed(b"<html>\n</html>\n")
    assert page.rest() == b""
