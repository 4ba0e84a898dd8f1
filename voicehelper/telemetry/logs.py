"""One JSON object a line on standard error: time, level, event, component, trace id, tenant, fields; all redacted."""

import logging
import sys
from typing import Any, TextIO, cast

import orjson
import structlog
from structlog.typing import EventDict, FilteringBoundLogger, WrappedLogger

from voicehelper.context import current_context
from voicehelper.telemetry.redaction import redact, redact_value

_BARE = frozenset({float, bool, type(None)})  # can hold nothing of anybody's


def get_logger(name: str) -> FilteringBoundLogger:
    """A logger: `log.info("document.indexed", document_id=..., chunks=12)`; event names are dotted, past tense."""
    return cast(FilteringBoundLogger, structlog.get_logger(component=name))


def configure_logging(level: str = "INFO", stream: TextIO | None = None) -> None:
    """Send our logs and those of libraries to `stream` (standard error) as redacted JSON lines."""
    shared: list[structlog.typing.Processor] = [
        _add_context,
        structlog.processors.format_exc_info,
        _redact_fields,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    out = stream or sys.stderr
    structlog.configure(
        processors=[*shared, _to_json],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.WriteLoggerFactory(file=out),  # Serve replaces `print` by one that garbles
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_add_component, *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _to_json],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(max(logging.WARNING, logging.getLevelNamesMapping()[level.upper()]))


def _add_context(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    context = current_context()
    if context.trace_id:
        event.setdefault("trace_id", context.trace_id)
    if context.tenant_id:
        event.setdefault("tenant_id", context.tenant_id)
    return event


def _add_component(logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    record = event.get("_record")
    event["component"] = record.name if isinstance(record, logging.LogRecord) else str(logger)
    return event


def _redact_fields(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    return {key: value if type(value) in _BARE else _redacted(key, value) for key, value in event.items()}


def _redacted(key: str, value: Any) -> Any:
    return redact(value) if key == "event" and isinstance(value, str) else redact_value(key, value)


def _to_json(_logger: WrappedLogger, _method: str, event: EventDict) -> str:
    ordered: dict[str, Any] = {"time": event.pop("timestamp", None), "level": event.pop("level", None)}
    return orjson.dumps(ordered | dict(event), default=str, option=orjson.OPT_NON_STR_KEYS).decode()
