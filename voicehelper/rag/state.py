"""What is known about one answer while it is being made."""

import time
from dataclasses import asdict, dataclass, field

from voicehelper.ports.chat import ChatRoute, ChatUsage
from voicehelper.rag.context import Context
from voicehelper.rag.events import Question
from voicehelper.rag.evidence import Evidence
from voicehelper.rag.language import PHRASES, Language, Phrases
from voicehelper.rag.rewrite import Standalone


@dataclass(slots=True)
class Answering:
    """One question on its way.

    Attributes:
        refused: nothing retrieved answers, by the evidence, by the model's own word, or as all was withdrawn.
        invented: numbers the model was about to state that no source holds; the answer was stopped before them.
        finish: why the model stopped; `deadline` when time did.
    """

    question: Question
    language: Language
    standalone: Standalone
    started: float = field(default_factory=time.perf_counter)
    context: Context = field(default_factory=lambda: Context((), (), ()))
    evidence: Evidence = Evidence(None, 0.0, (), False)
    text: str = ""
    refused: bool = False
    invented: frozenset[str] = frozenset()
    finish: str = ""
    usage: ChatUsage = ChatUsage()
    model: str = ""
    route: ChatRoute | None = None
    degraded: list[str] = field(default_factory=list)
    timings_ms: dict[str, float] = field(default_factory=dict)

    @property
    def phrases(self) -> Phrases:
        """Our fixed texts in the question's language."""
        return PHRASES[self.language]

    def elapsed_ms(self) -> float:
        """Since the question came."""
        return (time.perf_counter() - self.started) * 1000

    def trace(self, supported: int, sentences: int) -> dict[str, object]:
        """Facts for debugging."""
        return {
            "query": self.standalone.query,
            "language": self.language,
            "follow_up": bool(self.standalone.lead) or self.standalone.rewritten,
            "evidence": asdict(self.evidence),
            "passages": [
                {
                    "chunk_id": str(scored.passage.chunk_id),
                    "document": scored.passage.document_name,
                    "score": round(scored.score, 4),
                    "scores": {name: round(score, 4) for name, score in scored.scores.items()},
                }
                for scored in self.context.passages
            ],
            "context": self.context.render(),
            "finish": self.finish,
            "invented_numbers": sorted(self.invented),
            "sentences": sentences,
            "supported_sentences": supported,
            "unsupported": bool(sentences) and supported == 0,
        }
