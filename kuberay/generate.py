"""Writes kuberay/rayservice.yaml: the template with serve_config.yaml and overlay.yaml merged into `serveConfigV2`.

    python kuberay/generate.py [--check | --serve-config | --gpu]

`--check` writes nothing and exits with 1 when the committed file is not what would be written; `--serve-config` prints
the merged Serve config, for `serve deploy` on a cluster that is not Kubernetes; `--gpu` prints the RayService with GPU
workers and the vLLM models of overlay-gpu.yaml.
"""

import copy
import sys
from pathlib import Path
from textwrap import indent
from typing import Any

import yaml

HERE = Path(__file__).parent
TARGET = HERE / "rayservice.yaml"
PLACEHOLDER = "    # serveConfigV2\n"


def merge(base: Any, over: Any) -> Any:
    """`base` changed by `over`: mappings merge by key, lists of named mappings by name, anything else is replaced."""
    if isinstance(base, dict) and isinstance(over, dict):
        return base | {key: merge(base[key], value) if key in base else value for key, value in over.items()}
    if _named(base) and _named(over):
        changes = {item["name"]: item for item in over}
        unknown = changes.keys() - {item["name"] for item in base}
        if unknown:
            raise ValueError(f"Nothing to change: {sorted(unknown)}")
        return [merge(item, changes.get(item["name"], {})) for item in base]
    return over


def cluster_config() -> dict[str, Any]:
    """The Serve config as the cluster runs it."""
    base = yaml.safe_load((HERE.parent / "serve_config.yaml").read_text())
    merged: dict[str, Any] = merge(base, yaml.safe_load((HERE / "overlay.yaml").read_text()))
    return merged


def render() -> str:
    """The RayService."""
    return (HERE / "rayservice.template.yaml").read_text().replace(PLACEHOLDER, indent(serve_config(), "    "))


def serve_config() -> str:
    """The merged Serve config as YAML."""
    return yaml.safe_dump(cluster_config(), sort_keys=False, width=110)


def gpu_service() -> str:
    """The RayService with the GPU workers and vLLM models of overlay-gpu.yaml."""
    over = yaml.safe_load((HERE / "overlay-gpu.yaml").read_text())
    service = yaml.safe_load(render().replace(over["image"]["from"], over["image"]["to"]))
    serve = yaml.safe_dump(merge(cluster_config(), over["serve"]), sort_keys=False, width=110)
    service["spec"]["serveConfigV2"] = serve
    groups = service["spec"]["rayClusterConfig"]["workerGroupSpecs"]
    groups.append(_gpu_group(groups[0], dict(over["workers"])))
    return yaml.safe_dump(service, sort_keys=False, width=110)


def _gpu_group(like: dict[str, Any], group: dict[str, Any]) -> dict[str, Any]:
    """Workers as the others are, with these resources."""
    resources = group.pop("resources")
    template = copy.deepcopy(like["template"])
    template["spec"]["containers"][0]["resources"] = {"requests": dict(resources), "limits": dict(resources)}
    return group | {"template": template}


def _named(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, dict) and "name" in item for item in value)


def main() -> int:
    """Write, check or print; the exit status."""
    if "--serve-config" in sys.argv[1:]:
        sys.stdout.write(serve_config())
        return 0
    if "--gpu" in sys.argv[1:]:
        sys.stdout.write(gpu_service())
        return 0
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.read_text() == render() else 1
    TARGET.write_text(render())
    return 0


if __name__ == "__main__":
    sys.exit(main())
