"""What Prometheus and Grafana are told exists."""

import json
import re
from pathlib import Path

import yaml

from voicehelper.config import HttpSettings
from voicehelper.telemetry import metrics

OBSERVABILITY = Path(__file__).parents[3] / "observability"
DASHBOARD = json.loads((OBSERVABILITY / "grafana-dashboard.json").read_text())


def _expressions() -> list[str]:
    return [target["expr"] for panel in DASHBOARD["panels"] for target in panel.get("targets", ())]


def _exported() -> set[str]:
    kinds = {
        "counter": ("_total",),
        "gauge": ("",),
        "histogram": ("_bucket", "_sum", "_count"),
    }
    found = set()
    for metric in vars(metrics).values():
        if hasattr(metric, "_type") and hasattr(metric, "_name"):
            found |= {metric._name + suffix for suffix in kinds[metric._type]}
    return found


def test_every_metric_on_the_dashboard_is_exported():
    used = set(re.findall(r"\bvoicehelper_\w+", " ".join(_expressions())))
    assert used
    assert used <= _exported()


def test_every_label_on_the_dashboard_belongs_to_a_metric():
    labels = {label for m in vars(metrics).values() if hasattr(m, "_labelnames") for label in m._labelnames}
    serve = {"deployment"}
    for expression in _expressions():
        for group in re.findall(r"by \(([^)]*)\)", expression):
            assert set(group.replace(" ", "").split(",")) <= labels | serve | {"le"}


def test_panels_do_not_overlap():
    cells = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        for x in range(at["x"], at["x"] + at["w"]):
            for y in range(at["y"], at["y"] + at["h"]):
                assert (x, y) not in cells
                cells.add((x, y))


def test_the_local_target_is_the_default_address():
    config = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())
    local = next(job for job in config["scrape_configs"] if job["job_name"] == "voicehelper")
    http = HttpSettings()
    assert local["static_configs"][0]["targets"] == [f"{http.host}:{http.port}"]
