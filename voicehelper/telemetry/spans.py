"""Spans leave this process without personal data: attributes, events (exceptions above all) and status are redacted."""

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.trace import Status
from opentelemetry.util.types import Attributes

from voicehelper.telemetry.redaction import redact, redact_value


class RedactedSpans(SpanProcessor):
    """Hands each span that has ended on to `processor`, redacted."""

    def __init__(self, processor: SpanProcessor) -> None:
        self._processor = processor

    def on_end(self, span: ReadableSpan) -> None:
        """The copy shares what cannot hold text."""
        self._processor.on_end(
            ReadableSpan(
                name=redact(span.name),
                context=span.get_span_context(),
                parent=span.parent,
                resource=span.resource,
                attributes=_clean(span.attributes),
                events=[Event(redact(event.name), _clean(event.attributes), event.timestamp) for event in span.events],
                links=span.links,
                kind=span.kind,
                status=Status(span.status.status_code, redact(span.status.description or "") or None),
                start_time=span.start_time,
                end_time=span.end_time,
                instrumentation_scope=span.instrumentation_scope,
            )
        )

    def shutdown(self) -> None:
        """Shut the processor down."""
        self._processor.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the processor."""
        return self._processor.force_flush(timeout_millis)


def _clean(attributes: Attributes) -> dict[str, Any]:
    values: Mapping[str, Any] = attributes or {}
    return {name: redact_value(name, value) for name, value in values.items()}
