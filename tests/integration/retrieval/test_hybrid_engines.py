"""The retriever on real PostgreSQL and tantivy, with a fake embedder."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from voicehelper.errors import Unavailable
from voicehelper.ids import new_id
from voicehelper.knowledge.model import KeywordChunk
from voicehelper.ports.embedder import FakeEmbedder
from voicehelper.ports.search import Scope
from voicehelper.retrieval.hybrid import HybridRetriever
from voicehelper.stores.postgres.passages import PostgresPassages
from voicehelper.stores.postgres.pool import Pool, create_pool
from voicehelper.stores.postgres.vectors import PgVectorIndex, ensure_vector_index
from voicehelper.stores.tantivy import LAYOUT, KeywordWriter, TantivyKeywordIndex

EMBEDDER = FakeEmbedder()
MODEL = "fake-bigram-384"


@dataclass
class Base:
    """A knowledge base in both engines."""

    pool: Pool
    folder: Path
    tenant: UUID
    kb: UUID

    @property
    def scope(self) -> Scope:
        return Scope(self.tenant, (self.kb,))

    async def add(self, *texts: str, model: str = MODEL, keywords: bool = True) -> list[UUID]:
        """One document; each text is a chunk of it."""
        document, version = new_id(), new_id()
        chunks = [new_id() for _ in texts]
        vectors = await EMBEDDER.embed(texts, "passage")
        async with self.pool.acquire() as connection, connection.transaction():
            await connection.execute(
                "INSERT INTO documents (id, tenant_id, kb_id, name, live_version_id) VALUES ($1, $2, $3, $4, $5)",
                document,
                self.tenant,
                self.kb,
                f"{document}.md",
                version,
            )
            await connection.execute(
                "INSERT INTO document_versions (id, tenant_id, kb_id, document_id, object_key, content_type,"
                " size_bytes, sha256, status) VALUES ($1, $2, $3, $4, '', '', 0, '', 'indexed')",
                version,
                self.tenant,
                self.kb,
                document,
            )
            await connection.executemany(
                "INSERT INTO chunks (id, tenant_id, kb_id, document_id, version_id, position, char_start, char_end,"
                " tokens, text, embedding_model, embedding)"
                " VALUES ($1, $2, $3, $4, $5, $6, $7, $7 + 50, 1, $8, $9, $10)",
                [
                    (chunk, self.tenant, self.kb, document, version, place, 100 * place, text, model, vector)
                    for place, (chunk, text, vector) in enumerate(zip(chunks, texts, vectors, strict=True))
                ],
            )
        if keywords:
            self._index(document, zip(chunks, texts, strict=True))
        return chunks

    def _index(self, document: UUID, chunks: Sequence[tuple[UUID, str]]) -> None:
        writer = KeywordWriter(self.folder)
        entries = [KeywordChunk(chunk, (), text, "a.md") for chunk, text in chunks]
        writer.replace_document(self.tenant, self.kb, document, entries)
        writer.commit(writer.applied_seq + 1)
        writer.close()

    def retriever(self) -> HybridRetriever:
        return HybridRetriever(
            EMBEDDER, PgVectorIndex(self.pool), TantivyKeywordIndex(self.folder), PostgresPassages(self.pool)
        )


async def new_base(pool: Pool, folder: Path, tenant: UUID | None = None) -> Base:
    base = Base(pool, folder, tenant or new_id(), new_id())
    await pool.execute(
        "INSERT INTO tenants (id, name) VALUES ($1, $2) ON CONFLICT DO NOTHING", base.tenant, str(base.tenant)
    )
    await pool.execute(
        "INSERT INTO knowledge_bases (id, tenant_id, name) VALUES ($1, $2, $3)", base.kb, base.tenant, str(base.kb)
    )
    return base


@pytest.fixture
async def base(pool: Pool, tmp_path: Path) -> AsyncIterator[Base]:
    yield await new_base(pool, tmp_path)


async def vector_of(text: str) -> np.ndarray:
    return (await EMBEDDER.embed([text], "query"))[0]


def ids(found) -> list[UUID]:
    return [scored.passage.chunk_id for scored in found.passages]


async def test_both_engines_answer_with_scores_of_each_stage(base: Base) -> None:
    (refund,) = await base.add("退款一般在三个工作日内原路退回。")
    await base.add("营业时间为每天九点到十八点。")
    found = await base.retriever().retrieve(base.scope, "退款多久退回", 1)
    assert ids(found) == [refund]
    assert found.passages[0].scores.keys() == {"dense", "keyword", "fused"}
    assert found.degraded == ()


async def test_other_tenants_and_bases_are_never_found(base: Base, pool: Pool, tmp_path: Path) -> None:
    other_tenant = await new_base(pool, tmp_path)
    other_base = await new_base(pool, tmp_path, base.tenant)
    (mine,) = await base.add("退款规则大致如此。")
    for _ in range(3):
        await other_tenant.add("退款规则")
        await other_base.add("退款规则")
    assert ids(await base.retriever().retrieve(base.scope, "退款规则", 10)) == [mine]
    mixed = Scope(base.tenant, (other_tenant.kb,))
    assert ids(await base.retriever().retrieve(mixed, "退款规则", 10)) == []


async def test_the_wording_is_that_of_the_tenants_own_documents(base: Base, pool: Pool, tmp_path: Path) -> None:
    other = await new_base(pool, tmp_path)
    await base.add(*(f"退款规则第{number}条" for number in range(9)))
    await base.add("运费")
    await other.add("星河卡")
    wording = await PostgresPassages(pool).wording(base.tenant)
    assert [text.splitlines()[-1] for text in wording if "退款" in text] == [f"退款规则第{n}条" for n in range(5)]
    assert any(text.endswith("运费") for text in wording)
    assert all(".md" in text for text in wording)
    assert not any("星河卡" in text for text in wording)


async def test_vectors_of_another_space_are_not_compared(base: Base) -> None:
    await base.add("退款规则", model="other-model", keywords=False)
    assert await PgVectorIndex(base.pool).search(base.scope, await vector_of("退款规则"), 5, MODEL) == []


async def test_a_deleted_document_vanishes_before_the_keyword_index_knows(base: Base) -> None:
    await base.add("退款规则一。")
    (kept,) = await base.add("退款规则二。")
    await base.pool.execute("DELETE FROM documents WHERE id <> (SELECT document_id FROM chunks WHERE id = $1)", kept)
    assert ids(await base.retriever().retrieve(base.scope, "退款规则", 5)) == [kept]


async def test_neighbouring_chunks_come_as_one_passage(base: Base) -> None:
    chunks = await base.add("退款规则：七天内可退。", "退款规则：运费自理。", "门店地址见官网。")
    await base.add("售后服务规则")
    found = await base.retriever().retrieve(base.scope, "退款规则", 2)
    assert found.passages[0].passage.text == "退款规则：七天内可退。\n退款规则：运费自理。"
    assert found.passages[0].chunk_ids == tuple(chunks[:2])


async def test_model_numbers_with_hyphens_win(base: Base) -> None:
    (wanted,) = await base.add("型号 VH-X200-B 的蓝牙音箱长按五秒配对。")
    await base.add("型号 VH-X201-C 的蓝牙音箱长按三秒配对。")
    assert ids(await base.retriever().retrieve(base.scope, "VH-X200-B 蓝牙音箱配对", 2))[0] == wanted


async def test_without_a_keyword_index_vectors_answer(base: Base) -> None:
    (chunk,) = await base.add("退款规则", keywords=False)
    found = await base.retriever().retrieve(base.scope, "退款规则", 5)
    assert (ids(found), found.degraded) == ([chunk], ("keyword",))


async def test_with_a_damaged_keyword_index_vectors_answer(base: Base) -> None:
    (chunk,) = await base.add("退款规则")
    (base.folder / LAYOUT / base.tenant.hex / base.kb.hex / "meta.json").write_text("{")
    found = await base.retriever().retrieve(base.scope, "退款规则", 5)
    assert (ids(found), found.degraded) == ([chunk], ("keyword",))


async def test_without_postgresql_the_vector_index_is_unavailable(base: Base, postgres_dsn: str) -> None:
    pool = await create_pool(postgres_dsn)
    await pool.close()
    with pytest.raises(Unavailable):
        await PgVectorIndex(pool).search(base.scope, await vector_of("退款"), 5, MODEL)


@pytest.mark.parametrize("exact_up_to", [0, 10_000], ids=["hnsw", "exact"])
async def test_the_vector_index_agrees_with_numpy(base: Base, pool: Pool, tmp_path: Path, exact_up_to: int) -> None:
    texts = [f"第{number}条：{'退款发货保修发票会员'[number % 9 :]}{number * 37 % 101}" for number in range(300)]
    chunks = await base.add(*texts, keywords=False)
    other = await new_base(pool, tmp_path)
    await other.add(*(text + "规则" for text in texts), keywords=False)
    await ensure_vector_index(pool, MODEL, 384)
    vectors, query = await EMBEDDER.embed(texts, "passage"), await vector_of("退款第37条")
    cosines = dict(zip(chunks, (vectors @ query).tolist(), strict=True))
    hits = await PgVectorIndex(pool, exact_up_to).search(base.scope, query, 10, MODEL, also=[chunks[5], chunks[6]])
    best = sorted(cosines.values(), reverse=True)[:10]
    assert {chunks[5], chunks[6]} <= {hit.chunk_id for hit in hits}
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    assert len({hit.chunk_id for hit in hits}) == len(hits)
    assert all(abs(hit.score - cosines[hit.chunk_id]) < 2e-3 for hit in hits)
    assert [hit.score for hit in hits[:10]] == pytest.approx(best, abs=2e-3)


async def test_the_vector_index_is_built_once_by_many_and_replaced_when_invalid(base: Base, pool: Pool) -> None:
    await base.add("退款规则", keywords=False)
    await asyncio.gather(*(ensure_vector_index(pool, MODEL, 384) for _ in range(4)))
    names = "SELECT indexrelid::regclass::text FROM pg_index WHERE indrelid = 'chunks'::regclass AND indisvalid"
    before = {row[0] for row in await pool.fetch(names)}
    (built,) = (name for name in before if name.startswith("chunks_hnsw_"))
    await pool.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::regclass", built)
    await ensure_vector_index(pool, MODEL, 384)
    assert {row[0] for row in await pool.fetch(names)} == before


async def test_a_models_name_is_data(base: Base) -> None:
    model = "it's; DROP TABLE chunks --"
    (chunk,) = await base.add("退款规则", model=model, keywords=False)
    await ensure_vector_index(base.pool, model, 384)
    hits = await PgVectorIndex(base.pool).search(base.scope, await vector_of("退款规则"), 5, model)
    assert [hit.chunk_id for hit in hits] == [chunk]
