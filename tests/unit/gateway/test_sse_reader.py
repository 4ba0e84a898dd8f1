"""What the gateway writes, the client reads."""

from fastapi.sse import format_sse_event
from hypothesis import given
from hypothesis import strategies as st

from voicehelper.cli.ask import citation_lines
from voicehelper.cli.sse import ServerEvent, read_events, split_lines
from voicehelper.ids import new_id
from voicehelper.wire.conversations import CitationView, DeltaEvent


@given(st.lists(st.text(), max_size=5))
def test_any_text_survives_the_stream(texts: list[str]) -> None:
    stream = b": keep-alive\n\n".join(
        format_sse_event(event="delta", data_str=DeltaEvent(text=text).model_dump_json(), id=str(number))
        for number, text in enumerate(texts)
    )
    # As httpx cuts lines; JSON escapes what it would cut at.
    lines = stream.decode().split("\n")
    assert list(read_events(lines)) == [
        ServerEvent("delta", str(number), {"text": text}) for number, text in enumerate(texts)
    ]


def test_the_rules_of_the_format() -> None:
    lines = [":comment", "data:{", "data: }", "", "event: lost", "", "id: 7", "data: {}", "", 'data: {"cut": 1}']
    assert list(read_events(lines)) == [ServerEvent("message", "", {}), ServerEvent("message", "7", {})]


def test_line_separators_of_unicode_stay_inside_the_data() -> None:
    """httpx splits lines as str.splitlines does; U+2028 in an answer must not end an event."""
    text = "a\u2028b\x85c\x0bd\u2029"
    data = DeltaEvent(text=text).model_dump_json()
    stream = format_sse_event(event="delta", data_str=data).decode().replace("\n", "\r\n")
    for size in (1, 3, 1000):
        pieces = [stream[start : start + size] for start in range(0, len(stream), size)]
        assert [event.data["text"] for event in read_events(split_lines(pieces))] == [text]


def citation(index: int, quote: str, page: int | None = None) -> CitationView:
    return CitationView(
        index=index, start=0, end=1, chunk_id=new_id(), document_id=new_id(), document_name="a.md",
        page=page, heading=["售后", "退款"], quote=quote, score=1.0,
    )  # fmt: skip


def test_sources_are_numbered_and_shown_once() -> None:
    lines = list(citation_lines([citation(1, "x\n y", 3), citation(1, "x\n y", 3), citation(2, "z")]))
    assert lines == ["", "[1] a.md · p. 3 · 售后 > 退款", "    “x y”", "[2] a.md · 售后 > 退款", "    “z”"]
    assert list(citation_lines([])) == []
