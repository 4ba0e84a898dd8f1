"""JSON logs with redaction, Prometheus metrics, OpenTelemetry spans.

`stage` is the one way to time a stage of work: it makes a span, a histogram sample and a number the caller can keep.
"""

from voicehelper.telemetry.logs import configure_logging, get_logger
from voicehelper.telemetry.redaction import redact
from voicehelper.telemetry.tracing import (
    Timed,
    configure_tracing,
    continue_trace,
    current_trace_id,
    describe_span,
    inject,
    stage,
)

__all__ = [
    "Timed",
    "configure_logging",
    "configure_tracing",
    "continue_trace",
    "current_trace_id",
    "describe_span",
    "get_logger",
    "inject",
    "redact",
    "stage",
]
