"""Text for the ear: an answer as it is written, turned into words as they are spoken, in Chinese and English."""

from voicehelper.voice.ear_text.markup import Markup
from voicehelper.voice.ear_text.reading import read_aloud


class EarText:
    """Reads one answer, clause by clause; remembers what of its Markdown spans clauses (a table's headings)."""

    def __init__(self) -> None:
        self._markup = Markup()

    def read(self, text: str, language: str) -> str:
        """The words of a clause, empty where nothing of it is spoken. `language`: `zh` or `en`."""
        return read_aloud(self._markup.plain(text, language), language)


__all__ = ["EarText", "read_aloud"]
