"""Who may ask models directly, and what such requests may take."""

import pytest

from voicehelper.config import HttpSettings, LimitSettings
from voicehelper.gateway.classes import RouteClass, body_limit_of, class_of, deadline_of
from voicehelper.gateway.quotas import Quotas
from voicehelper.identity import Principal
from voicehelper.identity.permissions import BUILT_IN, unknown_permissions
from voicehelper.ids import new_id
from voicehelper.limits import AddressNames


def test_everybody_but_customers_may_ask_models() -> None:
    assert {role for role, permissions in BUILT_IN.items() if "models:use" not in permissions} == {"end_customer"}
    assert not unknown_permissions(frozenset({"models:use"}))


@pytest.mark.parametrize("path", ["chat/completions", "completions", "responses", "embeddings"])
def test_their_class(path: str) -> None:
    kind = class_of({"type": "http", "method": "POST", "path": f"/v1/{path}"})
    settings = HttpSettings(answer_timeout_s=77, max_prompt_bytes=5)
    assert (kind, deadline_of(kind, settings), body_limit_of(kind, settings)) == (RouteClass.MODEL, 77, 5)
    assert class_of({"type": "http", "method": "GET", "path": "/v1/models"}) is RouteClass.PLAIN


def test_their_limits() -> None:
    quotas = Quotas(LimitSettings(model_calls_per_tenant=9), AddressNames(b"k"))
    caller = Principal(new_id(), new_id(), "owner", frozenset(), "user", new_id())
    held = {limit.name: limit.quota for limit in quotas.of_principal(RouteClass.MODEL, "192.0.2.1", caller)}
    assert held["tenant-models"] == 9 and {"address", "user", "tenant"} < set(held)
    assert "tenant-models" not in {limit.name for limit in quotas.of_principal(RouteClass.PLAIN, "192.0.2.1", caller)}
