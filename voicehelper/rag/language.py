"""The language of a question, and what we say ourselves in it."""

import re
from dataclasses import dataclass
from typing import Literal

Language = Literal["zh", "en"]

_HAN = re.compile(r"[\u3400-\u9fff]")
_LATIN_WORD = re.compile(r"[A-Za-z]{2,}")


def language_of(text: str) -> Language:
    """`zh` when Chinese carries the sentence (product codes and brand names do not make it English), else `en`."""
    han = len(_HAN.findall(text))
    return "zh" if han and han >= len(_LATIN_WORD.findall(text)) else "en" if _LATIN_WORD.search(text) else "zh"


@dataclass(frozen=True, slots=True)
class Phrases:
    """Fixed texts.

    Attributes:
        refusal: the whole reply when nothing retrieved answers.
        withdrawn: closes an answer that was stopped because it left the sources.
        unsupported: follows an answer no sentence of which rests on a source.
    """

    refusal: str
    withdrawn: str
    unsupported: str


PHRASES: dict[Language, Phrases] = {
    "zh": Phrases(
        refusal="抱歉，现有资料里没有这个问题的答案。需要的话，我可以为您转接人工客服。",
        withdrawn="……抱歉，这一点在现有资料里没有依据，我不能确定。需要的话，我可以为您转接人工客服。",
        unsupported="（以上内容没有在资料中找到直接依据，请以人工客服的答复为准。）",
    ),
    "en": Phrases(
        refusal="Sorry, I could not find the answer to this in our documents. "
        "If you like, I can hand you over to a human agent.",
        withdrawn="... Sorry, our documents do not state this, so I cannot be sure. "
        "If you like, I can hand you over to a human agent.",
        unsupported=" (I found no direct statement of this in our documents; please confirm with a human agent.)",
    ),
}
