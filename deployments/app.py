"""The one builder of the Serve application: `serve run`, `serve deploy`, `voicehelper up` and RayService come here.

`settings.topology` says which nodes get a deployment of their own; the rest live inside their callers.

No `from __future__ import annotations` here: Serve reads the builder's annotation to type its argument.
"""

from typing import Any

from ray import serve
from ray.serve import Application

from deployments.args import replica_args
from deployments.gateway import Gateway
from deployments.nodes import NODES
from deployments.options import GATEWAY, serve_options
from deployments.replica import NodeReplica
from deployments.vllm import vllm_deployments
from voicehelper.config import Settings


def build_app(args: Settings) -> Application:
    """The application for these settings, `args` of `serve_config.yaml` completed by the environment.

    Raises pydantic's `ValidationError` for unknown or ill-typed settings and `InvalidInput` for secrets among them.
    """
    public = replica_args(args)
    deployed = vllm_deployments(args, public)
    for node in NODES:
        if getattr(args.topology, node.name) == "deployment":
            deployed[node.name] = _bind(NodeReplica, serve_options(node.name, args), node, public, dict(deployed))
    return _bind(Gateway, serve_options(GATEWAY, args), public, deployed)


def _bind(replica: Any, options: dict[str, Any], *init: Any) -> Application:
    deployment: Any = serve.deployment(replica, **options)
    application: Application = deployment.bind(*init)
    return application
