import io
import json
import logging

import pytest
import structlog

from voicehelper.context import RequestContext, use_context
from voicehelper.telemetry import configure_logging, get_logger


@pytest.fixture(autouse=True)
def _restore_logging() -> object:
    root = logging.getLogger()
    handlers, level = root.handlers, root.level
    yield
    root.handlers, root.level = handlers, level
    structlog.reset_defaults()


def test_a_line_is_json_with_trace_and_without_personal_data() -> None:
    out = io.StringIO()
    configure_logging("INFO", out)
    with use_context(RequestContext(tenant_id="t1", trace_id="ab" * 16)):
        get_logger("x.y").info("login.failed", email="li@example.com", attempts=3)
    line = json.loads(out.getvalue())
    assert line["event"] == "login.failed"
    assert line["email"] == "[email]"
    assert line["attempts"] == 3
    assert line["trace_id"] == "ab" * 16
    assert line["component"] == "x.y"


def test_library_logs_and_tracebacks_are_redacted_too() -> None:
    out = io.StringIO()
    configure_logging("INFO", out)
    try:
        raise ValueError("postgres://u:pw12345@host/db")
    except ValueError:
        logging.getLogger("some.library").exception("cannot reach 13812345678")
    line = json.loads(out.getvalue())
    assert line["event"] == "cannot reach [phone]"
    assert "pw12345" not in out.getvalue()
    assert line["component"] == "some.library"
