"""Whole conversations as text, piece by piece: nothing here holds more than a page of messages."""

from collections.abc import AsyncGenerator, Mapping
from datetime import datetime

from voicehelper.conversations.model import Conversation, Message

Items = AsyncGenerator[list[str], None]
Pages = AsyncGenerator[list[Message], None]

_NAMES = {"zh": {"user": "用户", "assistant": "助手"}, "en": {"user": "User", "assistant": "Assistant"}}
_UNTITLED = {"zh": "对话", "en": "Conversation"}


async def json_document(fields: Mapping[str, str | Items]) -> AsyncGenerator[str, None]:
    """The text of a JSON object: a value is JSON text, or a stream of lists of JSON texts that becomes one list. The
    first part reaches into the first item of the first list, or to the end where there is none."""
    begun = "{"
    for number, (name, value) in enumerate(fields.items()):
        begun += f'{"," if number else ""}"{name}":'
        if isinstance(value, str):
            begun += value
            continue
        begun += "["
        separator = ""
        async for items in value:
            if items:
                yield begun + separator + ",".join(items)
                begun, separator = "", ","
        begun += "]"
    yield begun + "}"


async def markdown(conversation: Conversation, pages: Pages, locale: str) -> AsyncGenerator[str, None]:
    """The conversation as Markdown for people to read. What was said is quoted: it cannot pass for a heading."""
    language = "zh" if locale.startswith("zh") else "en"
    title = " ".join(conversation.title.split()) or _UNTITLED[language]
    begun = f"# {title}\n\n{_moment(conversation.created_at)}\n"
    async for page in pages:
        yield begun + "".join(_message(message, _NAMES[language]) for message in page)
        begun = ""


def _message(message: Message, names: Mapping[str, str]) -> str:
    lines = [f"\n## {names[message.role]} · {_moment(message.created_at)}\n"]
    lines += [f"> {line}".rstrip() for line in message.content.splitlines() or [""]]
    extra = [f"- {attachment.name} ({attachment.content_type})" for attachment in message.attachments]
    extra += [
        f"- [{citation.index}] {_source(citation.document_name, citation.page)}" for citation in message.citations
    ]
    if message.role == "assistant" and message.status != "completed":
        extra.append(f"- {message.status}")
    if extra:
        lines += ["", *dict.fromkeys(extra)]
    return "\n".join(lines) + "\n"


def _source(name: str, page: int | None) -> str:
    return name if page is None else f"{name}, {page}"


def _moment(at: datetime) -> str:
    return at.strftime("%Y-%m-%d %H:%M:%S %Z")
