"""What Whisper writes down although nobody said it.

It was trained on subtitles. On silence, music and noise it recalls their credits, repeats its prompt, or falls into a
loop. The figures of Radford et al., 2022 (no-speech probability, mean log-probability, compression ratio) find most of
it; stock phrases that slip through are known by name.
"""

import re
import unicodedata
import zlib
from collections.abc import Iterable

MIN_LEVEL = 1e-3  # -60 dBFS: below, nothing was said
NO_SPEECH = 0.5  # noise has 0.6 and more, speech seldom 0.3
DOUBTFUL_SPEECH = 0.2
MIN_LOG_PROBABILITY = -0.4  # with the usual -1.0, sentences made of hum get through
DOUBTFUL_LOG_PROBABILITY = -0.6
MAX_COMPRESSION = 2.4
CHARACTERS_A_SECOND = 6.5  # of Chinese; quick speakers say six
LATIN_LETTERS_A_SECOND = 20.0
_SENTENCE = re.compile(r"[^。.？?！!]+[。.？?！!]*")
_LISTED = 2
_LOOP = re.compile(r"(.{2,}?)\1{3,}", re.DOTALL)  # four times the same, at least two characters

_CREDITS = re.compile(
    r"字幕(by|由|提供|製作|制作|志[愿願]者|组|組)|(中文)?字幕[:：]|索[兰蘭]娅|(请|請)不吝[点點][赞讚]|明[镜鏡](与|與|和)?[点點]+"
    r"|优优独播剧场|yoyo television|(作[词詞]|[编編]曲).{0,12}李宗盛"
    r"|amara\.?org|subtitles? (by|provided)|transcri(bed|ption) by|castingwords",
    re.IGNORECASE,
)
_STOCK_PHRASES = """
    谢谢观看 谢谢大家 谢谢大家观看 感谢观看 感谢您的观看 谢谢收看 多谢您的观看 请订阅 下次见 我们下次再见
    下期再见 拜拜 谢谢
    thankyou thanks thankyouforwatching thanksforwatching thankyouverymuch thankyousomuchforwatching pleasesubscribe
    you bye byebye
"""
_STOCK = frozenset(_STOCK_PHRASES.split())


def hallucinated(text: str, no_speech: float, log_probability: float) -> bool:
    """Whether the model made `text` up.

    Args:
        no_speech: probability that nobody speaks.
        log_probability: mean over the tokens.
    """
    if no_speech > NO_SPEECH and log_probability < MIN_LOG_PROBABILITY:
        return True
    if _CREDITS.search(text):
        return True
    doubtful = no_speech > DOUBTFUL_SPEECH or log_probability < DOUBTFUL_LOG_PROBABILITY
    return doubtful and bare(text) in _STOCK


def echoes(text: str, prompts: Iterable[str]) -> bool:
    """Whether the text is a sentence of the prompt again, or several of its words in a row."""
    said, listed = bare(text), text.count("、") >= _LISTED
    sentences = [bare(sentence) for prompt in prompts for sentence in re.split("[。.]", prompt)]
    return any(said == sentence or (listed and said in sentence) for sentence in sentences if sentence)


def loops(text: str) -> bool:
    """Whether the text goes round in circles."""
    data = text.encode()
    return len(data) > 40 and (len(data) / len(zlib.compress(data)) > MAX_COMPRESSION or bool(_LOOP.search(text)))


def unrolled(text: str) -> str:
    """Each repetition once."""
    return _LOOP.sub(r"\1", text)


def said_once(text: str, seconds: float) -> str:
    """The first of two equal sentences, where nobody can say both within `seconds`.

    In a short window Whisper base writes about one sentence in twenty down twice.
    """
    sentences = [part for part in _SENTENCE.findall(text) if bare(part)]
    if len(sentences) != 2 or bare(sentences[0]) != bare(sentences[1]):
        return text
    letters = bare(text)
    fastest = LATIN_LETTERS_A_SECOND if letters.isascii() else CHARACTERS_A_SECOND
    return sentences[0].strip() if len(letters) > fastest * seconds else text


def bare(text: str) -> str:
    """Letters and digits only, in lower case."""
    return "".join(c for c in text.lower() if unicodedata.category(c)[0] in "LN")
