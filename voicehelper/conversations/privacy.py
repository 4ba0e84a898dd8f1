"""A person's right to what is stored about them: to see it, and to have it gone."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Literal, Protocol
from uuid import UUID

from voicehelper.conversations.directory import ConversationDirectory
from voicehelper.conversations.model import Conversation, Message, Owner
from voicehelper.effects import after_commit
from voicehelper.errors import Conflict
from voicehelper.identity.acts import Acts, act_of
from voicehelper.identity.model import Principal, UserChange
from voicehelper.identity.users import UserDirectory

Record = dict[str, Any]
Section = Literal["sessions", "api_keys", "feedback", "voice_sessions", "usage", "audit"]
Forget = Callable[[UUID, Sequence[UUID]], Awaitable[None]]
"""Removes what a cache holds of a tenant's conversations, named by id; does not raise."""

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Erased:
    """How much of each there was, and is no more."""

    conversations: int
    messages: int
    feedback: int
    sessions: int
    api_keys: int
    stored_responses: int


class PrivacyRepository(Protocol):
    """Everything stored about a user. Every method raises `Unavailable`, and `NotFound` for a user that the tenant has
    not, or whose data was erased before."""

    async def user(self, tenant_id: UUID, user_id: UUID) -> Record:
        """The account: `id`, `email`, `name`, `kind`, `role`, `disabled`, `created_at`, `last_login_at`."""
        ...

    async def section(self, tenant_id: UUID, user_id: UUID, name: Section, after: UUID | None) -> list[Record]:
        """The next page of rows by `id`; empty after the last. Without secrets."""
        ...

    async def conversations(self, tenant_id: UUID, user_id: UUID, after: UUID | None) -> list[Conversation]:
        """The next page of conversations by id, archived or not; empty after the last."""
        ...

    async def erase(self, tenant_id: UUID, user_id: UUID) -> tuple[Erased, list[UUID]]:
        """Delete all of it, leave an account without a name that nobody can use, tell other replicas, and put
        `user.erased` into the outbox, in one transaction. Also gives the ids of the conversations there were."""
        ...


class Privacy:
    """Exports and erases a user's data; both leave an entry in the audit log.

    Args:
        repository: the data.
        directory: conversations with their messages.
        users: knows whom the caller may do this to.
        acts: the transaction in which data goes and the proof is written.
        forget: caches that hold conversations.
    """

    def __init__(
        self,
        repository: PrivacyRepository,
        directory: ConversationDirectory,
        users: UserDirectory,
        acts: Acts,
        *,
        forget: Sequence[Forget] = (),
    ) -> None:
        self._repository = repository
        self._directory = directory
        self._users = users
        self._acts = acts
        self._forget = forget

    async def export(self, by: Principal, user_id: UUID) -> Record:
        """The account, and the entry that says who took its data. Raises `NotFound`."""
        user = await self._repository.user(by.tenant_id, user_id)
        await self._acts.audit.record(act_of(by, "user.exported", "user", user_id))
        return user

    async def section(self, by: Principal, user_id: UUID, name: Section) -> AsyncGenerator[list[Record], None]:
        """All rows of a kind, in pages."""
        after: UUID | None = None
        while page := await self._repository.section(by.tenant_id, user_id, name, after):
            yield page
            after = page[-1]["id"]

    async def conversations(self, by: Principal, user_id: UUID) -> AsyncGenerator[list[Conversation], None]:
        """All conversations, in pages."""
        after: UUID | None = None
        while page := await self._repository.conversations(by.tenant_id, user_id, after):
            yield page
            after = page[-1].id

    async def messages(self, by: Principal, user_id: UUID) -> AsyncGenerator[list[Message], None]:
        """All messages of all conversations, in pages, each conversation's in order."""
        async for conversations in self.conversations(by, user_id):
            for conversation in conversations:
                async for page in self._directory.all_messages(Owner(by.tenant_id, user_id), conversation.id):
                    yield page

    async def erase(self, by: Principal, user_id: UUID) -> Erased:
        """Erase the user's data for good. The entry in the audit log names the user's id and counts; it stays.

        Raises:
            NotFound: no such user, or erased before.
            VersionConflict: somebody changed the user at the same moment.
            Conflict: nobody erases himself, nor the last owner.
            Forbidden: the user has permissions that the caller has not.
        """
        if user_id == by.user_id:
            raise Conflict("Somebody else has to do this")
        async with self._acts.unit(by.tenant_id):
            user = await self._repository.user(by.tenant_id, user_id)
            if user["kind"] == "person":
                present = await self._users.get(by, user_id)
                await self._users.change(by, user_id, present.version, UserChange(disabled=True))
            erased, conversations = await self._repository.erase(by.tenant_id, user_id)
            await self._acts.audit.record(act_of(by, "user.erased", "user", user_id, **asdict(erased)))
            await after_commit(partial(self._forget_all, by.tenant_id, conversations))
        return erased

    async def _forget_all(self, tenant_id: UUID, conversations: Sequence[UUID]) -> None:
        for start in range(0, len(conversations), _PAGE):
            for forget in self._forget:
                await forget(tenant_id, conversations[start : start + _PAGE])
