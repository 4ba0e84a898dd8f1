"""Events that consumers could not handle."""

from datetime import UTC, datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Query

from voicehelper.events.letters import DeadLetter
from voicehelper.gateway.cursors import decode_id, page_of
from voicehelper.gateway.params import Caller, Cursor, Limit, Wired, requires
from voicehelper.wire.common import Line, Page
from voicehelper.wire.events import DeadLetterView, LetterStateName

router = APIRouter(prefix="/events", tags=["events"])


@router.get("/dead-letters", summary="List dead letters, newest first", dependencies=[requires("events:read")])
async def list_dead_letters(  # noqa: PLR0917 - one argument per query parameter
    caller: Caller,
    services: Wired,
    consumer: Annotated[Line | None, Query(description="The group that failed")] = None,
    state: Annotated[LetterStateName | None, Query()] = None,
    cursor: Cursor = None,
    limit: Limit = 50,
) -> Page[DeadLetterView]:
    """Events of the tenant which a group of consumers gave up after all its attempts."""
    archive = services.dead_letters.archive
    found = await archive.find(caller.tenant_id, consumer, state, decode_id(cursor), limit + 1)
    return page_of(found, limit, lambda letter: letter.id, _view)


@router.post(
    "/dead-letters/{letter_id}/replay",
    status_code=202,
    summary="Have an event handled after all",
    dependencies=[requires("events:write")],
)
async def replay(letter_id: UUID, caller: Caller, services: Wired) -> DeadLetterView:
    """Its group, and no other, gets the event again; follow `state`. 409 when the group has handled it since."""
    return _view(await services.dead_letters.replay(caller, letter_id))


def _view(letter: DeadLetter) -> DeadLetterView:
    event = letter.event
    return DeadLetterView(
        id=letter.id,
        consumer=letter.consumer,
        state=letter.state,
        event_id=event.id,
        type=event.type,
        version=event.version,
        key=event.key,
        payload=event.payload,
        occurred_at=datetime.fromtimestamp(event.occurred_at, UTC),
        attempts=letter.attempts,
        error=letter.error,
        failed_at=letter.failed_at,
        replayed_at=letter.replayed_at,
    )
