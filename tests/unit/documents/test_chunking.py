from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voicehelper.documents.chunking import chunk_document, chunk_document_async
from voicehelper.documents.model import Block, Chunk, ChunkLimits, ParsedDocument
from voicehelper.documents.sentences import split_sentences

LIMITS = ChunkLimits(min_tokens=30, max_tokens=50)


def characters(texts: Sequence[str]) -> list[int]:
    return [len(text) for text in texts]


def chunks(*blocks: Block, limits: ChunkLimits = LIMITS) -> list[Chunk]:
    return chunk_document(ParsedDocument(blocks), characters, limits)


def test_a_short_section_joins_its_siblings_with_their_headings() -> None:
    found = chunks(Block("退款", 1), Block("审核", 2), Block("三十分钟。"), Block("到账", 2), Block("三个工作日。"))
    assert [(chunk.heading, chunk.text) for chunk in found] == [(("退款",), "审核\n三十分钟。\n到账\n三个工作日。")]


def test_with_minimum_zero_every_section_is_a_chunk() -> None:
    blocks = (Block("退款", 1), Block("审核", 2), Block("三十分钟。"), Block("到账", 2), Block("三个工作日。"))
    found = chunks(*blocks, limits=ChunkLimits(0, 50))
    assert [(chunk.heading, chunk.text) for chunk in found] == [
        (("退款", "审核"), "三十分钟。"),
        (("退款", "到账"), "三个工作日。"),
    ]


def test_top_sections_are_never_merged() -> None:
    found = chunks(Block("甲", 1), Block("一。"), Block("乙", 1), Block("二。"))
    assert [(chunk.heading, chunk.text) for chunk in found] == [(("甲",), "一。"), (("乙",), "二。")]


def test_sections_of_different_parents_are_not_merged() -> None:
    found = chunks(Block("书", 1), Block("甲", 2), Block("甲一", 3), Block("一。"), Block("乙", 2), Block("二。"))
    assert [chunk.heading for chunk in found] == [("书", "甲", "甲一"), ("书", "乙")]


def test_a_question_stays_alone_with_its_answer() -> None:
    found = chunks(
        Block("常见问题", 1), Block("能改地址吗？", 2), Block("能。"), Block("怎么退？", 2), Block("点退款。")
    )
    assert [(chunk.heading[-1], chunk.text) for chunk in found] == [("能改地址吗？", "能。"), ("怎么退？", "点退款。")]


@pytest.mark.parametrize("mark", ["Q：", "问：", "Q1. ", ""])
def test_questions_in_body_text_are_recognised(mark: str) -> None:
    found = chunks(Block(f"{mark}能改地址吗？"), Block("答：能。"), Block(f"{mark}怎么退？"), Block("答：点退款。"))
    assert [chunk.text for chunk in found] == [f"{mark}能改地址吗？\n答：能。", f"{mark}怎么退？\n答：点退款。"]


def test_a_long_section_is_divided_evenly_between_sentences() -> None:
    text = "".join(f"这是第{number:02}句话呀。" for number in range(16))  # 144 characters, at most 5 sentences a chunk
    found = chunks(Block("题", 1), Block(text))
    assert "".join(chunk.text for chunk in found) == text
    assert [len(chunk.text) for chunk in found] == [45, 36, 36, 27]


def test_paragraph_ends_are_preferred() -> None:
    found = chunks(Block("一" * 39 + "。"), Block("二" * 19 + "。" + "三" * 19 + "。"))
    assert [chunk.text[0] for chunk in found] == ["一", "二"]


def test_a_sentence_above_the_maximum_is_cut_at_clauses_then_anywhere() -> None:
    clauses = "，".join("子句内容" * 4 for _ in range(6)) + "。"
    assert all(chunk.text[-1] in "，。" for chunk in chunks(Block(clauses)))
    found = chunks(Block("字" * 120))
    assert "".join(chunk.text for chunk in found) == "字" * 120
    assert max(chunk.tokens for chunk in found) <= LIMITS.max_tokens


def test_headings_count_against_the_maximum_but_leave_half() -> None:
    text = "".join(f"句{number:02}。" for number in range(30))
    assert max(chunk.tokens for chunk in chunks(Block("很长的标题" * 4, 1), Block(text))) <= 30
    assert max(chunk.tokens for chunk in chunks(Block("很长的标题" * 40, 1), Block(text))) in range(20, 26)


def test_pages_and_positions() -> None:
    found = chunks(Block("甲" * 40 + "。", page=1), Block("乙" * 40 + "。", page=2))
    assert [(chunk.position, chunk.page) for chunk in found] == [(0, 1), (1, 2)]


def test_headings_without_text_are_kept() -> None:
    assert [chunk.text for chunk in chunks(Block("只有标题", 1), Block("又一个", 1))] == ["只有标题\n又一个"]
    assert [chunk.text for chunk in chunks(Block("甲", 1), Block("乙", 2), Block("丙", 1), Block("丁。"))] == [
        "乙",
        "丁。",
    ]
    assert chunks() == []


async def test_async_gives_the_same() -> None:
    async def count(texts: Sequence[str]) -> list[int]:
        return characters(texts)

    parsed = ParsedDocument((Block("题", 1), Block("很多句话。" * 30)))
    assert await chunk_document_async(parsed, count, LIMITS) == chunk_document(parsed, characters, LIMITS)


body = st.text(alphabet="字句。，？!. \nab1", min_size=1, max_size=120).map(
    lambda text: "\n".join(text.split("\n")).strip()
)
blocks_strategy = st.lists(
    st.builds(Block, text=body.filter(bool), level=st.sampled_from([0, 0, 0, 1, 2, 3]), page=st.none()), max_size=12
).map(lambda blocks: tuple(Block(b.text.replace("\n", " "), b.level) if b.level else b for b in blocks))


@settings(max_examples=300)
@given(
    blocks_strategy, st.sampled_from([ChunkLimits(0, 20), ChunkLimits(30, 50), ChunkLimits(50, 50), ChunkLimits(1, 1)])
)
def test_properties(blocks: tuple[Block, ...], limits: ChunkLimits) -> None:
    parsed = ParsedDocument(blocks)
    found = chunk_document(parsed, characters, limits)
    covered = 0
    for position, chunk in enumerate(found):
        assert chunk.position == position
        assert parsed.text[chunk.start : chunk.end] == chunk.text
        assert chunk.text
        assert chunk.tokens == len(chunk.text) <= max(limits.max_tokens, 1)
        assert covered <= chunk.start
        covered = chunk.end
    assert _body(blocks, found) == []
    assert chunk_document(parsed, characters, limits) == found


def _body(blocks: tuple[Block, ...], found: list[Chunk]) -> list[str]:
    """Body sentences that are in no chunk."""
    missing = []
    start = 0
    for block in blocks:
        for left, right in split_sentences(block.text) if not block.level else ():
            inside = [c for c in found if c.start < start + right and start + left < c.end]
            if sum(min(c.end, start + right) - max(c.start, start + left) for c in inside) < right - left - 2 * len(
                inside
            ):
                missing.append(block.text[left:right])
        start += len(block.text) + 1
    return missing


@settings(max_examples=200)
@given(st.lists(st.integers(3, 45), min_size=1, max_size=30))
def test_no_sentence_below_the_maximum_is_cut(lengths: list[int]) -> None:
    sentences = ["字" * (length - 1) + "。" for length in lengths]
    found = chunks(Block("".join(sentences)))
    assert all(chunk.text.endswith("。") for chunk in found)
    assert "".join(chunk.text for chunk in found) == "".join(sentences)
