"""Signing keys, for platform administrators."""

from fastapi import APIRouter

from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.identity.acts import act_of
from voicehelper.identity.key_ring import StoredKey
from voicehelper.wire.keys import SigningKeyList, SigningKeyView

router = APIRouter(tags=["platform"], dependencies=[requires("platform:write")])


@router.get("/platform/signing-keys", summary="Keys that sign and verify access tokens")
async def list_keys(services: Wired) -> SigningKeyList:
    """The one that signs latest first."""
    return SigningKeyList(items=[_view(key) for key in services.keys.stored()])


@router.post("/platform/signing-keys", status_code=201, summary="Make a new signing key")
async def rotate(caller: Caller, services: Wired) -> SigningKeyView:
    """It is published at once and signs a few seconds later. Nobody is logged out: tokens of the old keys stay good."""
    key = await services.keys.rotate()
    await services.accounts.audit.record(act_of(caller, "signing_key.rotated", "signing_key", key.kid))
    return _view(key)


def _view(key: StoredKey) -> SigningKeyView:
    return SigningKeyView.model_validate(key)
