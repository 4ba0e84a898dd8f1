"""Signing keys, for platform administrators."""

from fastapi import APIRouter

from voicehelper.gateway.params import Wired, requires
from voicehelper.identity.key_ring import StoredKey
from voicehelper.wire.keys import SigningKeyList, SigningKeyView

router = APIRouter(tags=["platform"], dependencies=[requires("platform:write")])


@router.get("/platform/signing-keys", summary="Keys that sign and verify access tokens")
async def list_keys(services: Wired) -> SigningKeyList:
    """The one that signs latest first."""
    return SigningKeyList(items=[_view(key) for key in services.keys.stored()])


@router.post("/platform/signing-keys", status_code=201, summary="Make a new signing key")
async def rotate(services: Wired) -> SigningKeyView:
    """It is published at once and signs a few seconds later. Nobody is logged out: tokens of the old keys stay good."""
    return _view(await services.keys.rotate())


def _view(key: StoredKey) -> SigningKeyView:
    return SigningKeyView.model_validate(key)
