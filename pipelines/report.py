"""What a job did, for people and (`--report FILE`) for programs."""

import json
from collections import Counter
from dataclasses import asdict, dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a file.

    Attributes:
        state: `stored` (by this job; indexed once the keyword index has it), `indexed`, `skipped` (was there already),
            `failed`, or `elsewhere` (another worker is at it).
    """

    name: str
    state: str
    reason: str = ""
    error: str = ""
    chunks: int = 0


@dataclass
class Report:
    """The job's result. `seconds` count from the start of the actors (models are loaded in it) to the last write."""

    kb: str
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    seconds: float = 0.0

    def add(self, outcome: Outcome) -> None:
        """Note (or replace) what became of a file."""
        self.outcomes[outcome.name] = outcome

    def count(self, *states: str) -> int:
        """Files in one of `states`."""
        return sum(outcome.state in states for outcome in self.outcomes.values())

    @property
    def chunks(self) -> int:
        """Chunks this job wrote."""
        return sum(outcome.chunks for outcome in self.outcomes.values())

    @property
    def failures(self) -> list[Outcome]:
        """Files that cannot be indexed, by name."""
        return sorted((o for o in self.outcomes.values() if o.state == "failed"), key=lambda outcome: outcome.name)

    @property
    def unfinished(self) -> list[str]:
        """Files whose indexing had not ended when the job did."""
        return sorted(o.name for o in self.outcomes.values() if o.state in ("stored", "elsewhere"))

    @property
    def rate(self) -> float:
        """Chunks a second."""
        return self.chunks / self.seconds if self.seconds else 0.0

    def text(self) -> str:
        """Lines for people."""
        lines = [
            f"Knowledge base {self.kb}: {len(self.outcomes)} files, {self.count('indexed')} indexed,"
            f" {self.count('skipped')} unchanged, {len(self.failures)} failed, {len(self.unfinished)} unfinished",
            f"{self.chunks} chunks in {self.seconds:.1f} s, {self.rate:.1f} chunks/s",
        ]
        if self.failures:
            reasons = Counter(outcome.reason for outcome in self.failures)
            lines.append("Failed: " + ", ".join(f"{count} {reason}" for reason, count in reasons.most_common()))
            lines += [f"  {outcome.name}: {outcome.reason} ({outcome.error})" for outcome in self.failures]
        lines += [f"  {name}: not finished" for name in self.unfinished]
        return "\n".join(lines)

    def write(self, path: Path) -> None:
        """The same as JSON."""
        content = {
            "kb": self.kb,
            "documents": {
                "total": len(self.outcomes),
                "indexed": self.count("indexed"),
                "unchanged": self.count("skipped"),
                "failed": len(self.failures),
                "unfinished": len(self.unfinished),
            },
            "chunks": self.chunks,
            "seconds": round(self.seconds, 3),
            "chunks_per_s": round(self.rate, 3),
            "failures": [
                {key: value for key, value in asdict(outcome).items() if key in ("name", "reason", "error")}
                for outcome in self.failures
            ],
            "unfinished": self.unfinished,
        }
        path.write_text(json.dumps(content, ensure_ascii=False, indent=2) + "\n")
