"""Who may talk, and who may use the speech models for anything else."""

from voicehelper.identity.permissions import BUILT_IN, unknown_permissions


def test_everybody_may_talk() -> None:
    assert all("voice:talk" in permissions for permissions in BUILT_IN.values())


def test_visitors_may_not_use_the_speech_models_for_anything_else() -> None:
    assert {role for role, permissions in BUILT_IN.items() if "speech:use" not in permissions} == {"end_customer"}


def test_roles_and_keys_of_a_tenant_can_have_both() -> None:
    assert not unknown_permissions(frozenset({"voice:talk", "speech:use"}))
