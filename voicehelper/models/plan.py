"""Which models a request may go to, in which order, and why the others may not. A pure function of what is known."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final, cast
from uuid import UUID

from voicehelper.models.model import AUTO, LOCAL, Assignment, ModelEntry, Strategy
from voicehelper.ports.chat import ChatRequest

_ANY_SPEED_MS: Final = {1: 8000.0, 2: 4000.0, 3: 2000.0, 4: 1000.0, 5: 500.0}
"""What a speed class stands for where too few calls tell: milliseconds to the first piece."""

_FEWEST_TOKENS: Final = 64
"""An answer is not cut below this at the soft limit."""


@dataclass(frozen=True, slots=True)
class Needs:
    """What a request asks of a model. `tokens` are estimated on the upper side."""

    capabilities: frozenset[str]
    prompt_tokens: int
    max_tokens: int
    structured: bool = False

    @staticmethod
    def of(request: ChatRequest, prompt_tokens: int) -> "Needs":
        """Of this request."""
        if request.tools or request.json_schema is not None or request.json_object or request.logprobs is not None:
            return Needs(_named_needs(request), prompt_tokens, request.max_tokens, structured=True)
        if any(message.images for message in request.messages):
            return Needs(_SEES, prompt_tokens, request.max_tokens)
        return Needs(_STREAM, prompt_tokens, request.max_tokens)


@dataclass(frozen=True, slots=True)
class View:
    """What is known of the models: seconds for which each must not be called, and its live p95 to the first piece."""

    open_for: Callable[[UUID], float]
    p95_ms: Callable[[UUID], float | None]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to try, with the most tokens it may produce and micro-dollars it may cost."""

    entry: ModelEntry
    max_tokens: int
    cost: int


@dataclass(frozen=True, slots=True)
class Plan:
    """Candidates in order.

    Attributes:
        strategy: that ordered them.
        left_out: model and reason: `unknown`, `lacks:CAPABILITY`, `context`, `open`.
        wait_s: until the first of those left out as `open` may be called again.
        warnings: stable words (see `ChatRoute`).
    """

    strategy: Strategy
    candidates: tuple[Candidate, ...]
    left_out: tuple[tuple[str, str], ...] = ()
    wait_s: float = 0.0
    warnings: tuple[str, ...] = ()


def strategy_of(model: str) -> Strategy | None:
    """The strategy that a model name asks for: of `auto:cheapest` its own; None for `auto`, and for other names."""
    name = model.removeprefix(f"{AUTO}:")
    return cast("Strategy", name) if name != model and name in ("cheapest", "fastest", "best_quality") else None


def is_auto(model: str) -> bool:
    """Whether the name leaves the choice to the router."""
    return model == AUTO or strategy_of(model) is not None


def plan(
    model: str,
    needs: Needs,
    catalogue: Mapping[str, ModelEntry],
    view: View,
    *,
    strategy: Strategy,
    soft: bool = False,
    assignment: Assignment | None = None,
) -> Plan:
    """The candidates for a request.

    Args:
        model: a name of the catalogue, `auto`, or `auto:STRATEGY`.
        strategy: of `auto`.
        soft: a soft limit is passed: the cheapest first, and fewer tokens where the answer has no form to keep.
        assignment: its models go first, those asked for after them.
    """
    auto = is_auto(model)
    chosen: Strategy = (strategy_of(model) or strategy) if auto else "named"
    names = _named(model, catalogue, assignment, auto=auto)
    warnings: tuple[str, ...] = ()
    if soft:
        needs, warnings = _fewer(needs)
    sieve = _Sieve(needs, view)
    candidates = sieve.keep(names, catalogue)
    if auto:
        rest = sieve.keep((name for name in catalogue if name not in names), catalogue)
        candidates += sorted(rest, key=_order(chosen, view))
        if not assignment:  # what is surely long enough goes before what may be
            candidates.sort(key=lambda candidate: not _fits(candidate.entry, candidate.max_tokens, needs))
    if soft:
        candidates, cheaper = _cheapest_first(candidates, sieve, catalogue)
        warnings = ("budget_soft_limit", *(("cheaper_model",) if cheaper else ()), *warnings)
    candidates.sort(key=lambda candidate: view.open_for(candidate.entry.id) > 0)
    return Plan(chosen, tuple(candidates), tuple(sieve.left_out), sieve.wait_s, warnings)


def _named(model: str, catalogue: Mapping[str, ModelEntry], assignment: Assignment | None, *, auto: bool) -> list[str]:
    """Names to try in this order, whatever the strategy says of the others."""
    names = list(assignment.models) if assignment is not None else []
    if not auto:
        entry = catalogue.get(model)
        names += [model, *(entry.fallbacks if entry is not None else ())]
    return list(dict.fromkeys(names))


class _Sieve:
    """Keeps the models that can do it, and why the others cannot."""

    def __init__(self, needs: Needs, view: View) -> None:
        self.left_out: list[tuple[str, str]] = []
        self.wait_s = 0.0
        self._needs = needs
        self._view = view

    def keep(self, names: Iterable[str], catalogue: Mapping[str, ModelEntry]) -> list[Candidate]:
        kept = []
        for name in names:
            entry = catalogue.get(name)
            why = "unknown" if entry is None else self._against(entry)
            if entry is None or why:
                self.left_out.append((name, why))
                continue
            tokens = self._clipped(entry)
            kept.append(Candidate(entry, tokens, entry.price.most(self._needs.prompt_tokens, tokens)))
        return kept

    def _against(self, entry: ModelEntry) -> str:
        if entry.kind != "chat":
            return "unknown"
        if not self._needs.capabilities <= entry.capabilities:
            return f"lacks:{min(self._needs.capabilities - entry.capabilities)}"
        if self._needs.prompt_tokens // 2 >= entry.context_tokens:
            return "context"
        wait = self._view.open_for(entry.id)
        # Ray looks after the instance's own model, and nothing is spared by not asking it: it goes last, but not out.
        if wait > 0 and entry.provider != LOCAL:
            self.wait_s = min(self.wait_s or wait, wait)
            return "open"
        return ""

    def _clipped(self, entry: ModelEntry) -> int:
        longest = entry.max_output_tokens
        return min(self._needs.max_tokens, longest) if longest else self._needs.max_tokens


def _fits(entry: ModelEntry, max_tokens: int, needs: Needs) -> bool:
    return needs.prompt_tokens + max_tokens <= entry.context_tokens


def _order(strategy: Strategy, view: View) -> Callable[[Candidate], tuple[float, ...]]:
    def latency(entry: ModelEntry) -> float:
        live = view.p95_ms(entry.id)
        return _ANY_SPEED_MS.get(entry.speed, 2000.0) if live is None else live

    orders: dict[str, Callable[[Candidate], tuple[float, ...]]] = {
        "cheapest": lambda it: (it.cost, -it.entry.quality, -it.entry.speed),
        "fastest": lambda it: (latency(it.entry), it.cost, -it.entry.quality),
        "best_quality": lambda it: (-it.entry.quality, it.cost, latency(it.entry)),
    }
    return orders[strategy]


def _fewer(needs: Needs) -> tuple[Needs, tuple[str, ...]]:
    """Half the tokens, unless what must be whole would be cut."""
    fewer = max(_FEWEST_TOKENS, needs.max_tokens // 2)
    if needs.structured or fewer >= needs.max_tokens:
        return needs, ()
    return Needs(needs.capabilities, needs.prompt_tokens, fewer), ("fewer_tokens",)


def _cheapest_first(
    candidates: list[Candidate], sieve: _Sieve, catalogue: Mapping[str, ModelEntry]
) -> tuple[list[Candidate], bool]:
    """What the request would go to, cheapest first; where nothing of that is cheaper, the catalogue's cheapest. Whether
    another model comes first now."""
    if not candidates:
        return candidates, False
    first = candidates[0]
    ordered = sorted(candidates, key=lambda candidate: candidate.cost)
    if ordered[0].cost >= first.cost:
        known = {candidate.entry.name for candidate in candidates} | {name for name, _ in sieve.left_out}
        others = sieve.keep((name for name in catalogue if name not in known), catalogue)
        ordered = sorted([*ordered, *others], key=lambda candidate: candidate.cost)
    return ordered, ordered[0].entry.name != first.entry.name


_STREAM: Final = frozenset({"stream"})
_SEES: Final = frozenset({"stream", "vision"})


def _named_needs(request: ChatRequest) -> frozenset[str]:
    needs = {"stream"}
    if request.tools and request.tool_choice != "none":
        needs.add("tools")
    if request.json_schema is not None:
        needs.add("json_schema")
    elif request.json_object:
        needs.add("json_object")
    if request.logprobs is not None:
        needs.add("logprobs")
    if any(message.images for message in request.messages):
        needs.add("vision")
    return frozenset(needs)
