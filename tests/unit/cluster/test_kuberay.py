"""kuberay/ offline: generated from serve_config.yaml, well-formed, and consistent with itself and with our settings."""

import os
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from ray.serve.schema import ServeDeploySchema

from deployments.options import LOADS, serve_options
from kuberay import generate
from tests.unit.cluster import kuberay_schema as schema
from voicehelper.config import Settings

ROOT = Path(__file__).parents[3]
KUBERAY = ROOT / "kuberay"


def _load(name: str) -> Any:
    return yaml.safe_load((KUBERAY / name).read_text())


SERVICE, JOB = _load("rayservice.yaml"), _load("rayjob-index.yaml")
CONFIG_MAP = _load("config.yaml")
SECRETS = list(yaml.safe_load_all((KUBERAY / "secrets.template.yaml").read_text()))
CLUSTERS = {"service": SERVICE["spec"]["rayClusterConfig"], "job": JOB["spec"]["rayClusterSpec"]}


def _args() -> Any:
    return yaml.safe_load(SERVICE["spec"]["serveConfigV2"])["applications"][0]["args"]


def _pods(cluster: dict) -> list[dict]:
    groups = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    return [group["template"]["spec"] for group in groups]


def test_the_committed_service_is_the_generated_one():
    assert (KUBERAY / "rayservice.yaml").read_text() == generate.render(), "run: python kuberay/generate.py"


def test_the_overlay_changes_only_what_exists():
    with pytest.raises(ValueError, match="other"):
        generate.merge([{"name": "voicehelper"}], [{"name": "other"}])
    assert generate.merge({"a": [1], "b": {"c": 1, "d": 2}}, {"a": [2], "b": {"c": 3}}) == {
        "a": [2],
        "b": {"c": 3, "d": 2},
    }


@pytest.mark.parametrize(("resource", "kind"), [(SERVICE, schema.RAY_SERVICE), (JOB, schema.RAY_JOB)])
def test_fields_are_those_of_the_api(resource, kind):
    jsonschema.validate(resource, kind)


def test_ray_serve_and_our_settings_accept_the_config():
    ServeDeploySchema.model_validate(yaml.safe_load(SERVICE["spec"]["serveConfigV2"]))
    settings = Settings.model_validate(_args())
    assert set(settings.nodes) == set(LOADS)
    for name in LOADS:
        options = serve_options(name, settings)
        assert "autoscaling_config" in options or options["num_replicas"] >= 2


def test_every_node_is_its_own_deployment_in_a_cluster():
    assert set(Settings.model_validate(_args()).topology.model_dump().values()) == {"deployment"}


def test_the_first_workers_hold_the_smallest_deployment():
    settings = Settings.model_validate(_args())
    needed = 0.0
    for name, given in settings.nodes.items():
        options = serve_options(name, settings)
        scale = options.get("autoscaling_config", {}).get("min_replicas") or options.get("num_replicas")
        needed += scale * options["ray_actor_options"]["num_cpus"]
        assert given.num_cpus
    group = CLUSTERS["service"]["workerGroupSpecs"][0]
    cpus = int(group["template"]["spec"]["containers"][0]["resources"]["requests"]["cpu"])
    assert needed <= group["minReplicas"] * cpus


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_ray_version_is_the_pinned_one(cluster):
    pinned = re.findall(r'"ray\[[a-z,]+\]==([\d.]+)"', (ROOT / "pyproject.toml").read_text())
    assert set(pinned) == {cluster["rayVersion"]}


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_everything_referred_to_exists(cluster):
    secrets = {secret["metadata"]["name"]: secret["stringData"] for secret in SECRETS}
    assert cluster["authOptions"]["secretName"] in secrets
    assert "auth_token" in secrets[cluster["authOptions"]["secretName"]]
    if redis := cluster.get("gcsFaultToleranceOptions"):
        reference = redis["redisPassword"]["valueFrom"]["secretKeyRef"]
        assert reference["key"] in secrets[reference["name"]]
    for pod in _pods(cluster):
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        assert {volume["secret"]["secretName"] for volume in volumes.values() if "secret" in volume} <= set(secrets)
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} <= set(volumes)
            assert container["envFrom"][0] == {"configMapRef": {"name": CONFIG_MAP["metadata"]["name"]}}
        assert pod["containers"][0]["envFrom"][1] == {"secretRef": {"name": "voicehelper-secrets"}}


def test_every_pod_has_the_master_key():
    """Each would make one of its own otherwise, which opens no signing key but the first pod's."""
    for pod in _pods(CLUSTERS["service"]):
        sources = [source["secretRef"]["name"] for source in pod["containers"][0]["envFrom"] if "secretRef" in source]
        given = [secret["stringData"] for secret in SECRETS if secret["metadata"]["name"] in sources]
        assert any("VOICEHELPER_IDENTITY__MASTER_KEY" in values for values in given)


def test_the_environment_is_understood_by_the_settings(monkeypatch):
    for name in [name for name in os.environ if name.startswith("VOICEHELPER_")]:
        monkeypatch.delenv(name)
    given = CONFIG_MAP["data"] | SECRETS[0]["stringData"]
    ours = {name: value for name, value in given.items() if name.startswith("VOICEHELPER_")}
    for name, value in ours.items():
        monkeypatch.setenv(name, value)
    settings = Settings.model_validate(_args())
    assert settings.objects.backend == "s3"
    assert settings.postgres_dsn().startswith("postgresql://")
    roots = {name.removeprefix("VOICEHELPER_").partition("__")[0].lower() for name in ours}
    assert roots <= set(Settings.model_fields)


@pytest.mark.parametrize("cluster", CLUSTERS.values(), ids=CLUSTERS)
def test_the_metrics_folder_exists_before_ray_starts(cluster):
    folder = CONFIG_MAP["data"]["PROMETHEUS_MULTIPROC_DIR"]
    for pod in _pods(cluster):
        for container in pod["containers"]:
            assert folder in {mount["mountPath"] for mount in container["volumeMounts"]}


def test_every_pod_of_the_service_shows_its_metrics():
    scraped = (ROOT / "observability" / "prometheus.yml").read_text()
    for pod in _pods(CLUSTERS["service"]):
        ports = {port["name"] for container in pod["containers"] for port in container["ports"]}
        assert {"metrics", "app-metrics"} <= ports
    assert "regex: app-metrics|metrics" in scraped


def test_templates_hold_no_working_secret():
    for secret in SECRETS:
        for value in secret["stringData"].values():
            assert "FILL-IN" in value or "PASSWORD" in value


def test_the_job_runs_our_pipeline():
    words = shlex.split(JOB["spec"]["entrypoint"])
    assert words[:3] == ["python", "-m", "pipelines.index_documents"]
    assert "--input" in words
    assert "--kb" in words


def test_gpu_workers_and_their_models():
    service = yaml.safe_load(generate.gpu_service())
    jsonschema.validate(service, schema.RAY_SERVICE)
    config = yaml.safe_load(service["spec"]["serveConfigV2"])
    ServeDeploySchema.model_validate(config)
    [model] = Settings.model_validate(config["applications"][0]["args"]).vllm
    cluster = service["spec"]["rayClusterConfig"]
    workers = cluster["workerGroupSpecs"][-1]["template"]["spec"]["containers"][0]["resources"]["limits"]
    assert int(workers["nvidia.com/gpu"]) % (model.tensor_parallel * model.pipeline_parallel) == 0
    images = {c["image"] for pod in _pods(cluster) for c in pod["containers"] if c["image"].startswith("voicehelper")}
    assert images == {"voicehelper:gpu"}
