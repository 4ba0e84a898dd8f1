"""The graph that the builder makes, without starting anything."""

import itertools

import pytest
from ray.serve._private.build_app import build_app as serve_build
from ray.serve.handle import DeploymentHandle

from deployments.app import build_app
from deployments.nodes import CHAT, NODES
from deployments.options import LOADS, admitted, serve_options
from voicehelper.config import Settings, Topology
from voicehelper.errors import InvalidInput

ALL = [node.name for node in NODES]


def graph(settings: Settings) -> dict[str, set[str]]:
    """Deployments with the nodes each has a handle to."""
    built = serve_build(build_app(settings), name="voicehelper", make_deployment_handle=_handle)
    assert built.ingress_deployment_name == "gateway"
    return {deployment.name: set(deployment.init_args[-1]) for deployment in built.deployments}


def _handle(deployment, app_name) -> DeploymentHandle:
    return DeploymentHandle(deployment.name, app_name=app_name)


def test_there_is_a_placement_and_a_load_for_every_node():
    assert set(ALL) == set(Topology.model_fields)
    assert set(LOADS) == {"gateway", *ALL}


def _placements():
    """All alike, and each node unlike all the others."""
    for one, other in itertools.permutations(["inline", "deployment"]):
        yield (one,) * len(ALL)
        yield from (tuple(other if at == unlike else one for at in range(len(ALL))) for unlike in range(len(ALL)))


@pytest.mark.parametrize("placements", list(_placements()))
def test_every_topology_builds_and_every_caller_has_its_handles(placements):
    settings = Settings(topology=dict(zip(ALL, placements, strict=True)))
    deployed = {name for name, placement in zip(ALL, placements, strict=True) if placement == "deployment"}
    built = graph(settings)
    assert set(built) == {"gateway", *deployed}
    assert built["gateway"] == deployed
    order = [name for name in ALL if name in deployed]
    for name in deployed:
        assert built[name] == set(order[: order.index(name)])


def test_the_local_default_is_the_one_in_the_config_file():
    assert set(graph(Settings())) == {"gateway", "embedder", "chat", "stt", "tts", "indexer"}


def test_secrets_in_the_arguments_are_refused():
    with pytest.raises(InvalidInput, match=r"chat\.api_key"):
        build_app(Settings(chat={"api_key": "sk-1"}))


def test_the_model_refuses_before_serve_does():
    settings = Settings(chat={"parallel": 3, "queue": 5})
    assert serve_options(CHAT.name, settings)["max_ongoing_requests"] > 3 + 5


def test_the_gateway_refuses_before_serve_does():
    for settings in (Settings(), Settings(nodes={"gateway": {"max_ongoing_requests": 5}})):
        assert serve_options("gateway", settings)["max_ongoing_requests"] > admitted(settings)
    assert admitted(settings) == 5


def test_options_of_a_deployment_can_be_set():
    settings = Settings(
        nodes={
            "embedder": {"num_cpus": 2, "num_gpus": 1, "autoscaling": {"min_replicas": 1, "max_replicas": 4}},
            "rag": {"num_replicas": 3, "max_ongoing_requests": 7, "max_queued_requests": 9},
        }
    )
    embedder, rag = serve_options("embedder", settings), serve_options("rag", settings)
    assert embedder["ray_actor_options"] == {"num_cpus": 2, "num_gpus": 1}
    assert embedder["autoscaling_config"] == {"min_replicas": 1, "max_replicas": 4}
    assert "num_replicas" not in embedder
    assert (rag["num_replicas"], rag["max_ongoing_requests"], rag["max_queued_requests"]) == (3, 7, 9)


def test_everything_together_fits_on_two_cores_beside_an_indexing_job():
    cpus = sum(serve_options(name, Settings())["ray_actor_options"]["num_cpus"] for name in LOADS)
    assert cpus <= 1.0
