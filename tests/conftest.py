"""For all tests."""

from collections.abc import Iterator

import pytest
from opentelemetry.sdk.trace.export import SimpleSpanProcessor

from tests.fakes.spans import SPANS
from voicehelper.telemetry import configure_tracing


@pytest.fixture(autouse=True)
def traced() -> Iterator[None]:
    """Spans are recorded, each test's apart."""
    configure_tracing("test", processor=SimpleSpanProcessor(SPANS))
    SPANS.clear()
    yield
    SPANS.clear()
