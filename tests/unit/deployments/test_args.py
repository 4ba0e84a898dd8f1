import json

import pytest
from pydantic import ValidationError

from deployments.args import replica_args
from voicehelper.config import Settings
from voicehelper.errors import InvalidInput


def test_rebuilds_the_same_tree_without_its_secrets(monkeypatch):
    monkeypatch.setenv("VOICEHELPER_POSTGRES_URL", "postgresql://u:hunter2@db/x")
    monkeypatch.setenv("VOICEHELPER_CHAT__API_KEY", "sk-hunter2")
    monkeypatch.setenv("VOICEHELPER_CHAT__PARALLEL", "7")
    settings = Settings(chat={"model": "m"}, topology={"rag": "deployment"}, home="/srv/x")

    args = json.loads(json.dumps(replica_args(settings)))

    assert "hunter2" not in json.dumps(args)
    assert args["chat"] == {"model": "m", "parallel": 7}
    assert Settings(**args) == settings


def test_a_replica_sees_what_the_builder_saw(monkeypatch):
    monkeypatch.setenv("VOICEHELPER_TOPOLOGY__RAG", "deployment")
    args = replica_args(Settings())
    monkeypatch.delenv("VOICEHELPER_TOPOLOGY__RAG")

    assert Settings(**args).topology.rag == "deployment"


def test_a_secret_among_the_arguments_is_refused_and_named():
    with pytest.raises(InvalidInput, match=r"postgres_url.*|.*objects\.secret_key"):
        replica_args(Settings(postgres_url="postgresql://u:p@db/x", objects={"secret_key": "s"}))


def test_unknown_arguments_are_refused():
    with pytest.raises(ValidationError, match="topologie"):
        Settings.model_validate({"topologie": {}})
