"""Spans through every stage and hop; export is off unless an OTLP endpoint is configured."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from opentelemetry import trace
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF, DEFAULT_ON
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from voicehelper.errors import VoiceHelperError
from voicehelper.telemetry.metrics import STAGE_SECONDS
from voicehelper.telemetry.spans import RedactedSpans

_tracer = trace.get_tracer("voicehelper")  # finds the provider that is installed later
_w3c = TraceContextTextMapPropagator()


@dataclass(slots=True)
class Timed:
    """The clock of one `stage`; `ms` is final once the block has ended and running before."""

    started: float
    ended: float | None = None

    @property
    def ms(self) -> float:
        """Milliseconds since the block began."""
        return ((self.ended or time.perf_counter()) - self.started) * 1000


@contextmanager
def stage(name: str, attributes: Mapping[str, str | int | float | bool] | None = None) -> Iterator[Timed]:
    """Time the block as the stage `name` (dotted, from a fixed set: it becomes a metric label)."""
    timed = Timed(time.perf_counter())
    with _tracer.start_as_current_span(name, attributes=attributes):
        try:
            yield timed
        finally:
            timed.ended = time.perf_counter()
            STAGE_SECONDS.labels(name).observe(timed.ended - timed.started)


def configure_tracing(service: str, otlp_endpoint: str = "", processor: SpanProcessor | None = None) -> None:
    """Install the tracer provider of this process, once. Spans go to `otlp_endpoint` or `processor`, if given; without
    either they have ids, for logs and the next hop, but record nothing.

    Raises `VoiceHelperError` when an endpoint is set and the `otlp` extra is not installed.
    """
    if isinstance(trace.get_tracer_provider(), TracerProvider):
        return
    sampler = DEFAULT_ON if otlp_endpoint or processor else ALWAYS_OFF
    provider = TracerProvider(sampler, Resource.create({"service.name": service}))
    if otlp_endpoint:
        provider.add_span_processor(RedactedSpans(_otlp_processor(otlp_endpoint)))
    if processor is not None:
        provider.add_span_processor(RedactedSpans(processor))
    trace.set_tracer_provider(provider)


def _otlp_processor(endpoint: str) -> SpanProcessor:
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    except ImportError as error:
        raise VoiceHelperError("telemetry.otlp_endpoint needs: pip install 'voicehelper[otlp]'") from error
    return BatchSpanProcessor(OTLPSpanExporter(endpoint=endpoint))


@contextmanager
def continue_trace(carrier: Mapping[str, str], name: str) -> Iterator[None]:
    """Run the block in a span that is a child of the remote span described by `carrier` (W3C headers)."""
    with _tracer.start_as_current_span(name, _w3c.extract(carrier) if carrier else None):
        yield


def describe_span(name: str, attributes: Mapping[str, str | int | float | bool]) -> None:
    """Give the current span its name and facts, once they are known. Nothing of a client's belongs there."""
    span = trace.get_current_span()
    if span.is_recording():
        span.update_name(name)
        span.set_attributes(attributes)


def inject() -> dict[str, str]:
    """W3C headers that describe the current span, for the next hop."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier


def current_trace_id() -> str:
    """Trace id of the current span as 32 hex digits; empty outside a trace."""
    span_context = trace.get_current_span().get_span_context()
    return trace.format_trace_id(span_context.trace_id) if span_context.is_valid else ""
