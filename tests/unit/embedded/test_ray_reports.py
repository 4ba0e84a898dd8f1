"""What Serve says about itself, made short for people."""

from voicehelper.embedded.ray import why_failed
from voicehelper.embedded.status import deployment_rows


def test_the_first_failing_deployments_error_is_the_reason() -> None:
    application = {
        "message": "Failed to update the deployments ['b'].",
        "deployments": {
            "a": {"status": "HEALTHY", "message": ""},
            "b": {
                "status": "DEPLOY_FAILED",
                "message": "Traceback\n  File x\nModuleNotFoundError: No module named 'y'\n\n",
            },
        },
    }
    assert why_failed(application) == "b: ModuleNotFoundError: No module named 'y'"
    assert why_failed({"message": "one\ntwo\n", "deployments": {}}) == "two"


def test_rows_of_deployments_and_replicas() -> None:
    replica = {"replica_id": "r1", "state": "RUNNING", "pid": None}
    serve = {"applications": {"v": {"deployments": {"chat": {"status": "HEALTHY", "replicas": [replica]}}}}}
    assert [(row.kind, row.name, row.state) for row in deployment_rows(serve)] == [
        ("deployment", "chat", "healthy"),
        ("replica", "r1", "running"),
    ]
