"""Tokens that a company's own web site hands to its anonymous visitors."""

from uuid import UUID

from fastapi import APIRouter

from voicehelper.conversations import Owner
from voicehelper.gateway.params import Caller, Wired, requires
from voicehelper.gateway.services import Services
from voicehelper.identity import OpenConversation
from voicehelper.wire.visitors import VisitorTokenCreate, VisitorTokenView

router = APIRouter(prefix="/visitor-tokens", tags=["visitors"])

_WRITE = [requires("visitors:write")]


@router.post("", status_code=201, summary="A token for a visitor, with a conversation", dependencies=_WRITE)
async def create_visitor_token(body: VisitorTokenCreate, caller: Caller, services: Wired) -> VisitorTokenView:
    """For the web site's server, which hands the token on: it opens this one conversation and nothing else. With
    `conversation_id`, another token for that visitor (404 when there is none); 404 as well for a knowledge base that is
    not there."""
    visitors = services.accounts.visitors
    if body.conversation_id is not None:
        token = await visitors.renew(caller, body.conversation_id, body.ttl_s)
    else:
        token = await visitors.welcome(caller, _opening(services, body), body.ttl_s)
    return VisitorTokenView(
        token=token.token,
        expires_in=token.expires_in,
        conversation_id=token.conversation_id,
        visitor_id=token.visitor_id,
    )


@router.delete("/{conversation_id}", status_code=204, summary="End a visitor's tokens", dependencies=_WRITE)
async def end_visitor_tokens(conversation_id: UUID, caller: Caller, services: Wired) -> None:
    """For good, within a second; the conversation stays. 404 when there is no such visitor, or no more."""
    await services.accounts.visitors.dismiss(caller, conversation_id)


def _opening(services: Services, body: VisitorTokenCreate) -> OpenConversation:
    async def begin(tenant_id: UUID, visitor_id: UUID) -> UUID:
        made = await services.conversations.create(Owner(tenant_id, visitor_id), body.title, body.knowledge_bases)
        return made.id

    return begin
