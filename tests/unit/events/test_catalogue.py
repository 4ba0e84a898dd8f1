import re
from pathlib import Path
from uuid import UUID

import pytest
from pydantic import ValidationError

from voicehelper.events.catalogue import (
    CATALOGUE,
    FACTS,
    ConversationAnswerFailed,
    ConversationCreated,
    DocumentFailed,
    TenantDisabled,
    fact_of,
)
from voicehelper.events.fact import UnreadableEvent, new_event
from voicehelper.ids import new_id
from voicehelper.ports.events import Event

ROOT = Path(__file__).parents[3]
IDS = {name: str(new_id()) for name in ("document_id", "kb_id", "version_id")}
PERSONAL = {"email", "name", "text", "content", "title", "comment", "address", "phone", "token", "message", "error"}


def test_a_fact_goes_into_an_event_and_back() -> None:
    tenant, user = new_id(), new_id()
    fact = ConversationCreated(conversation_id=new_id(), user_id=user)
    event = new_event(tenant, fact, now=lambda: 5.0)
    assert (event.type, event.version, event.tenant_id, event.occurred_at) == ("conversation.created", 1, tenant, 5.0)
    assert event.key == f"{tenant}:{user}"
    assert event.payload == {"conversation_id": str(fact.conversation_id), "user_id": str(user)}
    assert fact_of(event) == fact


def test_events_of_no_user_keep_the_order_of_their_tenant() -> None:
    tenant = new_id()
    assert new_event(tenant, TenantDisabled()).key == str(tenant)


def test_what_does_not_fit_is_not_published() -> None:
    with pytest.raises(ValidationError):
        DocumentFailed.model_validate({**IDS, "reason": "x", "text": "secret"})
    DocumentFailed.model_validate({**IDS, "reason": "x"})
    with pytest.raises(ValidationError):
        ConversationCreated(conversation_id="1", user_id=new_id())


def test_fields_that_a_newer_writer_added_are_left_out() -> None:
    event = new_event(new_id(), TenantDisabled())
    assert fact_of(Event(event.id, event.type, event.tenant_id, {"why": "unpaid"})) == TenantDisabled()


@pytest.mark.parametrize(
    ("type_", "version", "payload"),
    [("tenant.disabled", 2, {}), ("tenant.sold", 1, {}), ("conversation.created", 1, {"conversation_id": "x"})],
)
def test_what_cannot_be_read_says_so_without_its_contents(type_: str, version: int, payload: dict[str, str]) -> None:
    with pytest.raises(UnreadableEvent) as caught:
        fact_of(Event(new_id(), type_, new_id(), payload, version))
    assert type_ in str(caught.value)
    assert caught.value.details in ({}, {"fields": ["conversation_id", "user_id"]})


def test_types_are_unique_well_formed_and_explained() -> None:
    assert len(CATALOGUE) == len(FACTS)
    for fact in FACTS:
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", fact.type)
        assert fact.__doc__
        assert not PERSONAL & set(fact.model_fields)
        assert fact.order == "tenant" or fact.model_fields["user_id"].annotation is UUID


def test_every_fact_is_published_somewhere() -> None:
    """A type that nobody publishes is a promise nobody keeps."""
    stores = [path.read_text() for path in (ROOT / "voicehelper" / "stores").rglob("*.py")]
    assert [fact.__name__ for fact in FACTS if not any(f"{fact.__name__}(" in text for text in stores)] == []


def test_an_answer_has_numbers_where_they_are_known() -> None:
    fact = ConversationAnswerFailed(
        conversation_id=new_id(), user_id=new_id(), message_id=new_id(), answer_id=new_id(), seq=2, code=50401
    )
    assert (fact.attempt, fact.elapsed_ms, fact.code) == (1, None, 50401)
