from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import REGISTRY

from voicehelper.telemetry import configure_tracing, continue_trace, current_trace_id, inject, stage


def test_a_stage_is_timed_and_counted() -> None:
    before = REGISTRY.get_sample_value("voicehelper_stage_seconds_count", {"stage": "test.stage"}) or 0
    with stage("test.stage") as timed:
        running = timed.ms
    assert 0 <= running <= timed.ms
    assert REGISTRY.get_sample_value("voicehelper_stage_seconds_count", {"stage": "test.stage"}) == before + 1


def test_a_trace_goes_on_across_a_hop() -> None:
    configure_tracing("test")
    assert isinstance(trace.get_tracer_provider(), TracerProvider)
    with stage("test.caller"):
        carrier, trace_id = inject(), current_trace_id()
    assert current_trace_id() == ""
    with continue_trace(carrier, "test.callee"):
        assert current_trace_id() == trace_id
