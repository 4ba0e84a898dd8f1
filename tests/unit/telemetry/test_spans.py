"""Spans are exported without personal data."""

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from voicehelper.telemetry.spans import RedactedSpans


def test_attributes_exceptions_and_status_are_redacted() -> None:
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(RedactedSpans(SimpleSpanProcessor(exporter)))
    tracer = provider.get_tracer("test")
    attributes = {"note": "13812345678", "rows": 3, "names": ["a@b.co"], "api_key": "x"}
    with (
        pytest.raises(ValueError, match="exists"),
        tracer.start_as_current_span("outer") as outer,
        tracer.start_as_current_span("store", attributes=attributes),
    ):
        raise ValueError("Key (email)=(wang@example.com) already exists")
    inner = exporter.get_finished_spans()[0]
    noted = inner.events[0].attributes
    assert inner.attributes and noted and inner.parent and inner.start_time and inner.end_time
    assert dict(inner.attributes) == {"note": "[phone]", "rows": 3, "names": ["[email]"], "api_key": "[secret]"}
    assert "wang@" not in inner.to_json()
    assert "already exists" in str(noted["exception.message"])
    assert inner.parent.span_id == outer.get_span_context().span_id
    assert inner.end_time >= inner.start_time
