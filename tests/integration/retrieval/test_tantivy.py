import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

import pytest

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.search import Scope
from voicehelper.stores.tantivy import LAYOUT, MAX_OPEN, KeywordWriter, TantivyKeywordIndex, WriterBusy

TENANT, KB = new_id(), new_id()
SCOPE = Scope(TENANT, (KB,))


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[KeywordWriter]:
    writer = KeywordWriter(tmp_path)
    yield writer
    writer.close()


@pytest.fixture
def index(tmp_path: Path) -> TantivyKeywordIndex:
    return TantivyKeywordIndex(tmp_path)


def add(writer: KeywordWriter, text: str, *, tenant=TENANT, kb=KB, document=None, heading=(), name="a.md") -> UUID:
    chunk = new_id()
    writer.replace_document(tenant, kb, document or new_id(), [KeywordChunk(chunk, heading, text, name)])
    return chunk


async def found(index: TantivyKeywordIndex, query: str, scope: Scope = SCOPE, k: int = 10) -> list[UUID]:
    return [hit.chunk_id for hit in await index.search(scope, query, k)]


async def test_the_best_match_is_first_and_scores_are_shares(writer, index) -> None:
    best = add(writer, "退款一般在三个工作日内原路退回。")
    other = add(writer, "退货需要填写申请。")
    add(writer, "营业时间为每天九点。")
    writer.commit(1)
    hits = await index.search(SCOPE, "退款多久到账", 10)
    assert [hit.chunk_id for hit in hits] == [best, other]
    assert 0 < hits[1].score < hits[0].score < 1


async def test_tenant_and_knowledge_base_are_filtered_in_the_engine(writer, index) -> None:
    mine = add(writer, "退款说明")
    other_tenant, other_kb = new_id(), new_id()
    for _ in range(50):
        add(writer, "退款说明 退款说明", tenant=other_tenant)
        add(writer, "退款说明 退款说明", kb=other_kb)
    writer.commit(1)
    assert await found(index, "退款说明", k=1) == [mine]
    assert await found(index, "退款", Scope(new_id(), (KB,))) == []
    assert await found(index, "退款", Scope(TENANT, ())) == []
    assert len(await found(index, "退款", Scope(TENANT, (KB, other_kb)), k=100)) == 51


async def test_chunks_of_another_scope_are_not_scored_on_request_either(writer, index) -> None:
    mine, theirs = add(writer, "退款说明"), add(writer, "退款说明", tenant=new_id())
    writer.commit(1)
    hits = await index.search(SCOPE, "退款", 0, also=[mine, theirs])
    assert [hit.chunk_id for hit in hits] == [mine]


async def test_chunks_asked_for_are_scored_as_if_found(writer, index) -> None:
    chunks = [add(writer, "退款" * (number + 1) + "说明") for number in range(8)]
    writer.commit(1)
    every = {hit.chunk_id: hit.score for hit in await index.search(SCOPE, "退款", 8)}
    some = {hit.chunk_id: hit.score for hit in await index.search(SCOPE, "退款", 2, also=chunks)}
    assert some == every


@pytest.mark.parametrize("query", ["VH-X200-B", "vh-x200-b 怎么配对", "VHX200B", "ＶＨ－Ｘ２００－Ｂ", "X200"])
async def test_model_numbers_with_hyphens_are_found(writer, index, query) -> None:
    wanted = add(writer, "VH-X200-B 音箱长按五秒进入配对。")
    add(writer, "VH-Y300-C 耳机开盖即连。")
    writer.commit(1)
    assert (await found(index, query))[0] == wanted


async def test_traditional_queries_find_simplified_text(writer, index) -> None:
    wanted = add(writer, "发票可以在订单详情里下载。")
    writer.commit(1)
    assert await found(index, "發票下載") == [wanted]


async def test_headings_and_the_document_name_are_searched(writer, index) -> None:
    heading = add(writer, "七天之内。", heading=("售后", "换货"))
    name = add(writer, "见下。", name="保修卡.pdf")
    writer.commit(1)
    assert await found(index, "换货") == [heading]
    assert await found(index, "保修卡") == [name]
    assert await found(index, "pdf") == []


@pytest.mark.parametrize(
    "query",
    [
        "",
        "   ",
        "？！",
        "🎁👍🏽",
        'a AND OR NOT "x',
        "+-&&||!(){}[]^~*?:\\/",
        "title:退款 tenant_id:*",
        "\ud800",
        "\x00退款",
        "退款" * 5000,
    ],
)
async def test_odd_queries_never_raise(writer, index, query) -> None:
    add(writer, "退款说明")
    writer.commit(1)
    await index.search(SCOPE, query, 10)


async def test_replacing_leaves_nothing_of_the_old_version(writer, index) -> None:
    document = new_id()
    add(writer, "旧的退款规则", document=document)
    writer.commit(1)
    fresh = add(writer, "新的退款规则", document=document)
    writer.commit(2)
    assert await found(index, "退款规则") == [fresh]


async def test_applying_the_same_change_again_changes_nothing(writer, index) -> None:
    document, chunk = new_id(), KeywordChunk(new_id(), (), "退款规则", "a.md")
    for seq in (1, 1, 2):
        writer.replace_document(TENANT, KB, document, [chunk])
        writer.commit(seq)
    assert await found(index, "退款") == [chunk.chunk_id]
    assert index.check() == 1


async def test_scores_stay_shares_after_many_replacements(writer, index) -> None:
    document = new_id()
    for seq in range(1, 30):
        add(writer, "退款规则", document=document)
        writer.commit(seq)
    (hit,) = await index.search(SCOPE, "退款规则", 5)
    assert 0 < hit.score <= 1


async def test_delete_and_clear(writer, index) -> None:
    document = new_id()
    add(writer, "退款规则", document=document)
    kept = add(writer, "退款说明")
    writer.delete_document(document)
    writer.delete_document(new_id())
    writer.commit(1)
    assert await found(index, "退款") == [kept]
    writer.clear()
    writer.commit(2)
    assert await found(index, "退款") == []


async def test_a_reader_sees_a_commit_at_once_and_nothing_before(writer, index) -> None:
    writer.commit(1)
    assert await found(index, "退款") == []
    chunk = add(writer, "退款说明")
    assert await found(index, "退款") == []
    writer.commit(2)
    assert await found(index, "退款") == [chunk]


def test_the_position_survives_and_uncommitted_changes_do_not(tmp_path, index) -> None:
    first = KeywordWriter(tmp_path)
    assert (first.applied_seq, first.rebuild_needed) == (0, True)
    add(first, "退款说明")
    first.commit(41)
    add(first, "退款规则")
    first.close()
    second = KeywordWriter(tmp_path)
    assert (second.applied_seq, second.rebuild_needed) == (41, False)
    assert index.check() == 1
    second.close()


def test_a_second_writer_is_told(writer, tmp_path) -> None:
    with pytest.raises(WriterBusy):
        KeywordWriter(tmp_path)


async def test_no_index_is_unavailable_until_there_is_one(tmp_path, index) -> None:
    with pytest.raises(Unavailable):
        await index.search(SCOPE, "退款", 10)
    writer = KeywordWriter(tmp_path)
    chunk = add(writer, "退款说明")
    writer.commit(1)
    writer.close()
    assert await found(index, "退款") == [chunk]


@pytest.mark.parametrize("damage", ["meta.json", ".managed.json", "*.term", "*.store", "*.idx", "*.fieldnorm"])
async def test_a_damaged_index_is_unavailable_and_started_anew(tmp_path, damage) -> None:
    writer = KeywordWriter(tmp_path)
    add(writer, "退款说明")
    writer.commit(7)
    writer.close()
    files = list((tmp_path / LAYOUT).glob(f"**/{damage}"))
    assert files
    for file in files:
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with pytest.raises(Unavailable):
        await TantivyKeywordIndex(tmp_path).search(SCOPE, "退款", 10)
    writer = KeywordWriter(tmp_path)
    assert writer.rebuild_needed
    chunk = add(writer, "退款说明")
    writer.commit(8)
    writer.close()
    assert await found(TantivyKeywordIndex(tmp_path), "退款") == [chunk]


async def test_an_open_reader_follows_an_index_that_was_deleted_and_rebuilt(tmp_path, index) -> None:
    writer = KeywordWriter(tmp_path)
    add(writer, "退款说明")
    writer.commit(7)
    writer.close()
    assert len(await found(index, "退款")) == 1
    shutil.rmtree(tmp_path / LAYOUT)
    with pytest.raises(Unavailable):
        await found(index, "退款")
    writer = KeywordWriter(tmp_path)
    chunk = add(writer, "退款规则")
    writer.commit(1)
    writer.close()
    assert await found(index, "退款") == [chunk]


def test_a_base_that_went_missing_means_a_rebuild(tmp_path) -> None:
    writer = KeywordWriter(tmp_path)
    add(writer, "退款说明")
    add(writer, "退款说明", kb=new_id())
    writer.commit(7)
    writer.close()
    shutil.rmtree(tmp_path / LAYOUT / TENANT.hex / KB.hex)
    writer = KeywordWriter(tmp_path)
    assert writer.rebuild_needed
    writer.commit(0)
    assert TantivyKeywordIndex(tmp_path).check() == 0
    writer.close()


async def test_a_damaged_position_means_a_rebuild(tmp_path) -> None:
    for content in (b"", b"{", b"[]", b'{"applied_seq": 3}'):
        (tmp_path / LAYOUT).mkdir(exist_ok=True)
        (tmp_path / LAYOUT / "position.json").write_bytes(content)
        writer = KeywordWriter(tmp_path)
        assert writer.rebuild_needed
        writer.close()


async def test_more_bases_than_are_kept_open(tmp_path, index) -> None:
    bases = [new_id() for _ in range(MAX_OPEN + 3)]
    writer = KeywordWriter(tmp_path)
    for seq in (1, 2):
        for kb in bases:
            add(writer, "退款说明", kb=kb)
        writer.commit(seq)
    writer.close()
    assert len(await found(index, "退款", Scope(TENANT, tuple(bases)), k=100)) == 2 * len(bases)
    assert len(await found(index, "退款", Scope(TENANT, tuple(bases)), k=3)) == 3


async def test_other_bases_change_no_score(writer, index) -> None:
    add(writer, "退款三天到账")
    add(writer, "发票下载")
    writer.commit(1)
    before = await index.search(SCOPE, "退款发票", 5)
    for _ in range(20):
        add(writer, "退款退款退款" * 50, tenant=new_id())
        add(writer, "发票", kb=new_id())
    writer.commit(2)
    assert await index.search(SCOPE, "退款发票", 5) == before


async def test_a_document_added_and_deleted_before_the_commit_is_gone(writer, index) -> None:
    document = new_id()
    kept = add(writer, "退款说明")
    add(writer, "退款规则", document=document)
    writer.delete_document(document)
    writer.commit(1)
    assert await found(index, "退款") == [kept]


def test_an_emptied_base_leaves_no_folder(writer, tmp_path) -> None:
    document = new_id()
    add(writer, "退款说明", document=document)
    writer.commit(1)
    writer.delete_document(document)
    writer.commit(2)
    assert not (tmp_path / LAYOUT / TENANT.hex / KB.hex).exists()
    add(writer, "退款说明", document=document)
    writer.commit(3)


def test_a_folder_that_cannot_be_made_is_unavailable(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Unavailable):
        KeywordWriter(tmp_path / "file")


ENDLESS_WRITER = """
import sys
from pathlib import Path
from uuid import UUID
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.stores.tantivy import KeywordWriter
writer = KeywordWriter(Path(sys.argv[1]))
tenant, kb = UUID(sys.argv[2]), UUID(sys.argv[3])
seq = writer.applied_seq
while True:
    seq += 1
    chunks = [KeywordChunk(UUID(int=seq * 100 + number), (), "退款说明", "a.md") for number in range(20)]
    writer.replace_document(tenant, kb, UUID(int=seq), chunks)
    writer.commit(seq)
    print(seq, flush=True)
"""


def test_kill_9_while_committing_loses_no_commit_and_keeps_no_half(tmp_path) -> None:
    acknowledged = 0
    for attempt in range(4):
        process = subprocess.Popen(
            [sys.executable, "-c", ENDLESS_WRITER, str(tmp_path), str(TENANT), str(KB)], stdout=subprocess.PIPE
        )
        assert process.stdout
        acknowledged = int(process.stdout.readline())
        time.sleep(0.15 + 0.013 * attempt)
        os.kill(process.pid, signal.SIGKILL)
        acknowledged = max([acknowledged, *(int(line) for line in process.stdout.read().split())])
        process.wait()
        started = time.monotonic()
        writer = KeywordWriter(tmp_path)
        assert time.monotonic() - started < 5
        assert acknowledged <= writer.applied_seq <= acknowledged + 1
        count = TantivyKeywordIndex(tmp_path).check()
        assert count in (writer.applied_seq * 20, (writer.applied_seq + 1) * 20)
        hits = asyncio.run(TantivyKeywordIndex(tmp_path).search(SCOPE, "退款", 10_000))
        assert len(hits) == count
        writer.close()
