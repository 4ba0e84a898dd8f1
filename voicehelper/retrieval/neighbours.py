"""Joining what belongs together: neighbouring chunks become one passage, a repeated text appears once."""

from collections.abc import Iterable
from dataclasses import replace

from voicehelper.ports.search import Passage
from voicehelper.retrieval.model import ScoredPassage

MAX_JOINED = 3
"""Most chunks in one passage, so that a whole section found does not become a page of prompt."""


def merge(passages: Iterable[ScoredPassage], limit: int) -> list[ScoredPassage]:
    """At most `limit` passages, in the order of their best chunk.

    `passages` are chunks, best first. Chunks next to each other in a document, under the same heading, are joined into
    the better one's place; an overlap is kept once. A chunk with the heading and text of an earlier one is dropped.
    Once there are `limit` passages, the chunks that rank lower are left alone: a weak neighbour must not ride along.
    """
    merged: list[ScoredPassage] = []
    seen: set[tuple[tuple[str, ...], str]] = set()
    for chunk in passages:
        if len(merged) == limit:
            break
        content = (chunk.passage.heading, chunk.passage.text)
        if content in seen:
            continue
        place = next((place for place, other in enumerate(merged) if _joinable(other, chunk.passage)), None)
        seen.add(content)
        if place is None:
            merged.append(replace(chunk, chunk_ids=(chunk.passage.chunk_id,)))
        else:
            merged[place] = _join(merged[place], chunk)
    return merged


def _joinable(found: ScoredPassage, passage: Passage) -> bool:
    first, count = found.passage, len(found.chunk_ids)
    return (
        count < MAX_JOINED
        and first.document_id == passage.document_id
        and first.heading == passage.heading
        and passage.position in (first.position - 1, first.position + count)
    )


def _join(found: ScoredPassage, chunk: ScoredPassage) -> ScoredPassage:
    """`found` with the neighbouring `chunk`; its id, page and scores stay those of its best chunk."""
    before = chunk.passage.position < found.passage.position
    left, right = (chunk.passage, found.passage) if before else (found.passage, chunk.passage)
    joined = replace(
        found.passage,
        position=left.position,
        start=left.start,
        end=max(left.end, right.end),
        text=_concatenated(left, right),
    )
    chunk_id = chunk.passage.chunk_id
    chunk_ids = (chunk_id, *found.chunk_ids) if before else (*found.chunk_ids, chunk_id)
    return replace(found, passage=joined, chunk_ids=chunk_ids)


def _concatenated(left: Passage, right: Passage) -> str:
    """Both texts; the characters that an overlap puts into both are kept once."""
    overlap = max(0, left.end - right.start)
    if overlap and left.text.endswith(right.text[:overlap]):
        return left.text + right.text[overlap:]
    return f"{left.text}\n{right.text}"
