from uuid import UUID

from voicehelper.ports.search import Passage
from voicehelper.retrieval.model import ScoredPassage
from voicehelper.retrieval.neighbours import MAX_JOINED, merge

DOCUMENT, OTHER, KB = UUID(int=100), UUID(int=200), UUID(int=300)


def chunk(position: int, text: str = "", document: UUID = DOCUMENT, heading: tuple[str, ...] = ("退货",), start=None):
    text = text or f"第{position}段。"
    start = position * 100 if start is None else start
    identity = UUID(int=document.int + position + 1)
    passage = Passage(identity, document, KB, "a.md", position, position + 1, heading, start, start + len(text), text)
    return ScoredPassage(passage, 1 - position / 100, {"fused": 1 - position / 100})


def test_neighbours_become_one_passage_in_document_order() -> None:
    (joined,) = merge([chunk(4), chunk(3), chunk(5)], 5)
    assert joined.passage.text == "第3段。\n第4段。\n第5段。"
    assert (joined.passage.position, joined.passage.start, joined.passage.end) == (3, 300, 504)
    assert joined.chunk_ids == (UUID(int=104), UUID(int=105), UUID(int=106))


def test_a_joined_passage_keeps_the_id_page_and_score_of_its_best_chunk() -> None:
    (joined,) = merge([chunk(4), chunk(3)], 5)
    assert (joined.passage.chunk_id, joined.passage.page, joined.score) == (UUID(int=105), 5, 0.96)


def test_chunks_apart_stay_apart() -> None:
    assert len(merge([chunk(1), chunk(3)], 5)) == 2


def test_other_documents_and_headings_stay_apart() -> None:
    found = [chunk(1), chunk(2, document=OTHER), chunk(2, heading=("发货",))]
    assert len(merge(found, 5)) == 3


def test_an_overlap_is_kept_once() -> None:
    left = chunk(0, "一二三四五。六七八。", start=0)
    right = chunk(1, "六七八。九十。", start=6)
    (joined,) = merge([left, right], 5)
    assert joined.passage.text == "一二三四五。六七八。九十。"
    assert (joined.passage.start, joined.passage.end) == (0, 13)


def test_a_repeated_text_appears_once() -> None:
    found = merge([chunk(1, "七天无理由。"), chunk(7, "七天无理由。", document=OTHER)], 5)
    assert [passage.passage.document_id for passage in found] == [DOCUMENT]


def test_the_limit_counts_passages_not_chunks() -> None:
    found = merge([chunk(1), chunk(2), chunk(9), chunk(20)], 2)
    assert [passage.chunk_ids for passage in found] == [(UUID(int=102), UUID(int=103)), (UUID(int=110),)]


def test_a_neighbour_that_ranks_below_the_limit_does_not_ride_along() -> None:
    assert [passage.chunk_ids for passage in merge([chunk(1), chunk(2)], 1)] == [(UUID(int=102),)]


def test_a_long_section_is_cut() -> None:
    found = merge([chunk(position) for position in range(MAX_JOINED + 1)], 5)
    assert [len(passage.chunk_ids) for passage in found] == [MAX_JOINED, 1]


def test_nothing_gives_nothing() -> None:
    assert merge([], 5) == []
