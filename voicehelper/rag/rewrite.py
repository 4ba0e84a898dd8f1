"""Follow-up questions made to stand alone, where the conversation before them matters.

The default costs no model call: on a CPU a rewriting prompt of 100 tokens delays the answer by two seconds, and the
retriever and the model both understand "退货怎么办理？那运费呢？" (docs/answering.md has the comparison).
"""

import re
from collections.abc import Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Protocol

from voicehelper.ports.chat import ChatDelta, ChatMessage, ChatModel, ChatRequest
from voicehelper.rag.events import PastTurn
from voicehelper.rag.terms import content_terms

_REFERS = re.compile(
    r"它|他们|她们|这个|那个|这些|那些|这款|那款|这种|那种|该款|该商品|此商品|上面|上述|刚才|前面|前者|后者|其中"
    r"|^\s*(?:那|那么|然后|还有|另外|如果|要是|万一|换成|改成)|呢[？?！!。\s]*$"
    r"|\b(?:it|its|they|them|that one|this one|those|these|that|former|latter)\b"
    r"|^\s*(?:and|but|what about|how about|what if|then)\b",
    re.IGNORECASE,
)
_NEW_SUBJECT = re.compile(r"换个(?:话题|问题)|另一个问题|by the way|another question", re.IGNORECASE)
# What a question about an unnamed subject is made of: "多少钱？", "要几天？", "怎么申请？"
_GENERIC = re.compile(
    r"申请|办理|操作|收费|免费|价格|多少钱|钱|时间|天|费用|条件|流程|步骤|原因|支持|需要|具体|详细|例外|限制|吗|cost|take|price|free|apply"
)
_CODE = re.compile(r"[A-Za-z]*\d*[A-Za-z]+[-_]?[A-Za-z]*\d+[A-Za-z0-9-]*|《[^》]{1,20}》|“[^”]{1,12}”")
_NUMBERED = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]*-?\d[A-Za-z0-9.-]*")
_TALKED = r"(?:asked|said|mentioned|told|talked|discussed)"
_LONG_AGO = r"(?:earlier|before|previously|first|at the (?:start|beginning))"
_EARLIER = re.compile(
    r"(?:之前|先前|早先|最早|最初|起初|最开始|一开始|刚开始|前面)我?们?(?:问|说|提|讲|聊|咨询|那|的那|的问题)|第一个问题"
    rf"|\b{_TALKED}\b.{{0,30}}\b{_LONG_AGO}\b|\b{_LONG_AGO}\b.{{0,10}}\b{_TALKED}\b",
    re.IGNORECASE,
)
_SHORT = 60
_SHORTEST_QUESTION = 4
_MOST_NAMES = 3


@dataclass(frozen=True, slots=True)
class Standalone:
    """A question that needs no history.

    Attributes:
        question: what is asked.
        lead: what was asked before, as far as the question leans on it; empty when it stands by itself.
        before: the same for a reader: the earlier questions in their own words.
        rewritten: whether `question` differs from the user's words.
    """

    question: str
    lead: str = ""
    before: str = ""
    rewritten: bool = False

    @property
    def query(self) -> str:
        """What to search for."""
        return f"{self.lead} {self.question}".strip()


class Rewriter(Protocol):
    """Makes a question stand alone."""

    async def rewrite(self, text: str, history: Sequence[PastTurn]) -> Standalone:
        """`text` with what it needs of `history` (oldest first)."""
        ...


def is_follow_up(text: str) -> bool:
    """Whether `text`, asked within a conversation, cannot be understood without it."""
    if _NEW_SUBJECT.search(text) or len(text) > _SHORT:
        return False
    if _REFERS.search(text):
        return True
    return not content_terms(_GENERIC.sub(" ", text))


class MergeRewriter:
    """Puts the questions a follow-up leans on before it, and product codes the last answer named.

    A follow-up with a number or code of its own ("那 25 公斤的呢？") replaces those asked about before in what
    is searched for; the model still reads the earlier question as it was.
    """

    async def rewrite(self, text: str, history: Sequence[PastTurn]) -> Standalone:
        """See `Rewriter`."""
        before = leaned_on(text, history)
        if not before:
            return Standalone(text)
        asked = " ".join(turn.question.strip() for turn in before)
        if _NUMBERED.search(text):
            return Standalone(text, " ".join(_NUMBERED.sub("", asked).split()), asked)
        named = [code for code in dict.fromkeys(_CODE.findall(before[-1].answer)) if code not in asked + text]
        lead = " ".join([asked, *named[:_MOST_NAMES]])
        return Standalone(text, lead, lead)


class ModelRewriter:
    """Asks the chat model; falls back to merging when it says nothing usable."""

    def __init__(self, chat: ChatModel) -> None:
        self._chat = chat
        self._merge = MergeRewriter()

    async def rewrite(self, text: str, history: Sequence[PastTurn]) -> Standalone:
        """See `Rewriter`. Raises what the chat model raises."""
        before = leaned_on(text, history)
        if not before:
            return Standalone(text)
        talk = "\n".join(f"问：{turn.question}\n答：{turn.answer[:_SHORT]}" for turn in before)
        request = ChatRequest(
            (
                ChatMessage("system", "把最后的问题改写成一个不依赖上文的完整问题。只输出改写后的问题。"),
                ChatMessage("user", f"{talk}\n问题：{text}"),
            ),
            max_tokens=48,
            stop=("\n",),
        )
        said = ""
        async with aclosing(self._chat.stream(request)) as events:  # type: ignore[type-var]
            async for event in events:
                said += event.text if isinstance(event, ChatDelta) else ""
        if len(said.strip()) < _SHORTEST_QUESTION:
            return await self._merge.rewrite(text, history)
        return Standalone(said.strip(), rewritten=True)


def reaches_back(text: str, history: Sequence[PastTurn]) -> bool:
    """Whether `text` leans on something said before `history` begins: it says so, or all of `history` leans on it."""
    if _NEW_SUBJECT.search(text):
        return False
    return bool(_EARLIER.search(text)) or (is_follow_up(text) and all(is_follow_up(turn.question) for turn in history))


def recall(asked: Standalone, history: Sequence[PastTurn], summary: str) -> Standalone:
    """`asked`, in front of which stands the `summary` of what came before `history`, if the question needs it."""
    if not summary or not reaches_back(asked.question, history):
        return asked
    lead, before = (f"{summary} {said}".strip() for said in (asked.lead, asked.before))
    return replace(asked, lead=lead, before=before)


def leaned_on(text: str, history: Sequence[PastTurn]) -> tuple[PastTurn, ...]:
    """The last turn that stands alone and, if others came since, the latest one; empty when `text` stands alone."""
    if not history or not is_follow_up(text):
        return ()
    first = len(history) - 1
    while first > 0 and is_follow_up(history[first].question):
        first -= 1
    return (history[first],) if first == len(history) - 1 else (history[first], history[-1])
