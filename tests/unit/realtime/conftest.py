"""A line to a scripted session; everything it carried must be the protocol's, by the client's own types."""

from collections.abc import AsyncIterator

import pytest
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from tests.fakes.realtime import Line

_EVENTS = TypeAdapter(RealtimeServerEvent)


@pytest.fixture
async def line() -> AsyncIterator[Line]:
    line = await Line().open()
    yield line
    if line.socket.closed is None:
        await line.end()
    names = set()
    for event in line.socket.events:
        _EVENTS.validate_python(event)
        assert event["event_id"] not in names, "ids are unique"
        names.add(event["event_id"])
