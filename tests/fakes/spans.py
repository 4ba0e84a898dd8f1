"""What a test's process traced. A process has one tracer provider for good, so all tests share it."""

from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

SPANS = InMemorySpanExporter()
