"""cluster.yaml against Ray's own schema and checks, without touching a machine."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config

ROOT = Path(__file__).parents[3]


@pytest.fixture
def cluster() -> Any:
    return yaml.safe_load((ROOT / "cluster.yaml").read_text())


def test_ray_accepts_it(cluster):
    prepared = prepare_config(cluster)
    validate_config(prepared)
    head = prepared["available_node_types"][prepared["head_node_type"]]
    assert head["max_workers"] == 0 or prepared["max_workers"] == len(cluster["provider"]["worker_ips"])


def test_all_machines_speak_on_the_same_port(cluster):
    head = " ".join(cluster["head_start_ray_commands"])
    workers = " ".join(cluster["worker_start_ray_commands"])
    assert re.findall(r"--port=(\d+)", head) == re.findall(r"RAY_HEAD_IP:(\d+)", workers)


def test_its_image_is_built_by_the_dockerfile(cluster):
    targets = re.findall(r"^FROM .* AS (\w+)$", (ROOT / "Dockerfile").read_text(), re.M)
    assert cluster["docker"]["image"].partition(":")[2] in targets


def test_every_file_the_image_copies_passes_the_ignore_file():
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().split() if line.startswith("!")}
    copied = set()
    for line in (ROOT / "Dockerfile").read_text().splitlines():
        if line.startswith("COPY ") and "--from" not in line:
            copied |= {word for word in line.split()[1:-1] if not word.startswith("--")}
    assert copied <= allowed
    assert all((ROOT / name).exists() for name in allowed)
