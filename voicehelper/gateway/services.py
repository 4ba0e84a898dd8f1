"""Everything the gateway serves, built elsewhere and handed in."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from voicehelper.config import HttpSettings
from voicehelper.conversations import AnswerService, ConversationDirectory, KnowledgeScopes
from voicehelper.conversations.feedback import FeedbackRepository
from voicehelper.conversations.privacy import Privacy
from voicehelper.conversations.review import ConversationReview
from voicehelper.gateway.budget_desk import BudgetDesk
from voicehelper.gateway.dead_letters import DeadLetterDesk
from voicehelper.gateway.experiments_desk import ExperimentsDesk
from voicehelper.gateway.models_desk import ModelsDesk
from voicehelper.gateway.quotas import Rates
from voicehelper.idempotency import IdempotencyStore
from voicehelper.identity import Accounts, Authenticator, SigningKeys
from voicehelper.knowledge.model import Added, Document, KnowledgeBase, Page
from voicehelper.models.embeddings import Embeddings
from voicehelper.models.ports import Catalogue
from voicehelper.ports.chat import ChatModel
from voicehelper.ports.speech import TextToSpeech
from voicehelper.rag.port import QuestionAnswerer
from voicehelper.retrieval.model import Retriever
from voicehelper.voice.dictation import Dictation
from voicehelper.voice.hot_words import HotWords
from voicehelper.voice.session_port import Calls


class Knowledge(Protocol):
    """Knowledge bases and documents, as the routes see them. All raise `Unavailable`, and `NotFound` for another
    tenant's ids."""

    async def create_base(self, tenant_id: UUID, name: str, description: str = "") -> KnowledgeBase:
        """Raises `Conflict` when the name is taken."""
        ...

    async def get_base(self, tenant_id: UUID, kb_id: UUID) -> KnowledgeBase:
        """One base."""
        ...

    async def list_bases(self, tenant_id: UUID, cursor: str | None = None, limit: int = 50) -> Page[KnowledgeBase]:
        """Newest first. Raises `InvalidInput` for a bad cursor."""
        ...

    async def delete_base(self, tenant_id: UUID, kb_id: UUID) -> None:
        """With all its documents."""
        ...

    async def upload(
        self, tenant_id: UUID, kb_id: UUID, name: str, content_type: str, data: AsyncIterator[bytes]
    ) -> Added:
        """Store the stream and queue it for indexing. Raises `EmptyFile`, `UnsupportedType`, `PayloadTooLarge`,
        `UnprocessableDocument`, and whatever reading `data` raises (nothing is kept then)."""
        ...

    async def list_documents(
        self, tenant_id: UUID, kb_id: UUID, cursor: str | None = None, limit: int = 50, status: str | None = None
    ) -> Page[Document]:
        """Newest first. Raises `InvalidInput` for a bad cursor."""
        ...

    async def get_document(self, tenant_id: UUID, document_id: UUID) -> Document:
        """One document."""
        ...

    async def delete_document(self, tenant_id: UUID, document_id: UUID) -> None:
        """Every trace of it."""
        ...


@dataclass(frozen=True)
class Probe:
    """One engine of `/ready`. `check` raises where the engine is away; what it returns is shown if it is a string.

    Without a `required` engine the gateway is not ready; without another it is merely degraded.
    """

    name: str
    check: Callable[[], Awaitable[object]]
    required: bool = True


@dataclass(frozen=True)
class Services:
    """What the gateway is made of. Its lifespan starts and stops `answers`; who built the rest opens it.

    Without `rates`, anybody may ask for as much as he likes; without `idempotency`, a write sent twice happens twice;
    without `tts`, no text is read out, without `dictation` no recording written down; without `voice`, nobody can talk;
    without `router`, no model is asked directly, without `catalogue` any name is handed to it, without `embeddings`
    nothing is embedded, and without `answerer` no knowledge base answers as a model.
    """

    http: HttpSettings
    accounts: Accounts
    authenticator: Authenticator
    keys: SigningKeys
    knowledge: Knowledge
    scopes: KnowledgeScopes
    conversations: ConversationDirectory
    answers: AnswerService
    feedback: FeedbackRepository
    review: ConversationReview
    privacy: Privacy
    retriever: Retriever
    dead_letters: DeadLetterDesk
    probes: tuple[Probe, ...] = ()
    rates: Rates | None = None
    idempotency: IdempotencyStore | None = None
    tts: TextToSpeech | None = None
    dictation: Dictation | None = None
    hot_words: HotWords | None = None
    voice: Calls | None = None
    models: ModelsDesk | None = None
    experiments: ExperimentsDesk | None = None
    budgets: BudgetDesk | None = None
    router: ChatModel | None = None
    catalogue: Catalogue | None = None
    embeddings: Embeddings | None = None
    answerer: QuestionAnswerer | None = None
