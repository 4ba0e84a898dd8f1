"""What bodies take and refuse."""

import pytest
from pydantic import ValidationError

from voicehelper.wire.conversations import ConversationCreate, MessageCreate
from voicehelper.wire.identity import LoginRequest
from voicehelper.wire.knowledge import BaseCreate
from voicehelper.wire.search import SearchRequest


def test_texts_are_trimmed_but_passwords_are_not() -> None:
    assert MessageCreate(content="  退款？\n").content == "退款？"
    assert BaseCreate(name=" 政策 ").name == "政策"
    assert LoginRequest(email=" a@b.c ", password=" p ").password == " p "


@pytest.mark.parametrize("text", ["a\x00", "\ud800", " ", "", None, 1, ["x"], "x" * 8001])
def test_contents_that_cannot_be_stored_are_refused(text: object) -> None:
    with pytest.raises(ValidationError):
        MessageCreate.model_validate({"content": text})


def test_unknown_fields_are_refused() -> None:
    with pytest.raises(ValidationError):
        MessageCreate.model_validate({"content": "x", "knowledge_base": ["misspelt"]})


def test_lists_are_bounded() -> None:
    with pytest.raises(ValidationError):
        ConversationCreate(knowledge_bases=["x"] * 51)
    with pytest.raises(ValidationError):
        SearchRequest(query="x", top_k=0)
