"""Renders the metrics of every process that shares PROMETHEUS_MULTIPROC_DIR: the sidecar of a pod.

    python -m deployments.metrics_server [PORT]

A pod without a gateway replica has nobody else to render them.
"""

import sys
import threading

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector


def main() -> None:
    """Serve until killed."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    start_http_server(int(sys.argv[1]) if len(sys.argv) > 1 else 9400, registry=registry)
    threading.Event().wait()


if __name__ == "__main__":
    main()
