"""JSON logs with redaction, Prometheus metrics, OpenTelemetry spans."""
