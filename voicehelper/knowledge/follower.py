"""Keeps the keyword index of this machine in step with the database.

One follower per index folder: the writer's lock decides; whoever finds it taken tries again later. The index stores
how far it has come together with its entries, so that a killed follower goes on where the last commit was; a new or
outdated index is built again from the database.
"""

import asyncio
from collections.abc import Callable, Sequence
from uuid import UUID

from voicehelper.errors import Unavailable
from voicehelper.knowledge.model import FollowerState, KeywordChange, LiveDocument
from voicehelper.knowledge.ports import KeywordFeed, KeywordWriter
from voicehelper.ports.clock import Clock, SystemClock
from voicehelper.retrying import backoff
from voicehelper.telemetry import get_logger, metrics, stage

log = get_logger(__name__)

TAKEOVER_S = 2.0
BEAT_S = 5.0
PRUNE_S = 60.0
CHANGES_AT_ONCE = 200
DOCUMENTS_AT_ONCE = 20
REBUILD_COMMIT = 1000


class KeywordFollower:
    """Applies changes until cancelled.

    Args:
        name: of the index; the same across restarts on the same folder, different for every folder of every machine.
        open_writer: opens the index for writing; raises `Unavailable` while another process has it.
    """

    def __init__(
        self, feed: KeywordFeed, open_writer: Callable[[], KeywordWriter], name: str, clock: Clock | None = None
    ) -> None:
        self._feed = feed
        self._open_writer = open_writer
        self._name = name
        self._clock = clock or SystemClock()

    async def run(self) -> None:
        """Become the writer when the place is free, and follow."""
        failures = 0
        while True:
            try:
                writer = await asyncio.to_thread(self._open_writer)
            except Unavailable as error:
                log.debug("keyword.writer_not_free", error=str(error))
                await self._clock.sleep(TAKEOVER_S)
                continue
            try:
                await self._follow(writer)
            except Unavailable as error:
                log.warning("keyword.waiting", error=str(error))
                failures = 0
            except Exception:
                log.exception("keyword.follower_failed")
                failures += 1
            finally:
                await _close(writer)
            await self._clock.sleep(backoff(failures))

    async def _follow(self, writer: KeywordWriter) -> None:
        state = await self._feed.state(self._name)
        if needs_rebuild(state, writer.applied_seq):
            await self._rebuild(writer, state.head)
        pruned = self._clock.now()
        while True:
            await self.apply(writer)
            if self._clock.now() - pruned > PRUNE_S:
                pruned = self._clock.now()
                await self._feed.prune()
            await self._feed.wait(BEAT_S)

    async def apply(self, writer: KeywordWriter) -> None:
        """Apply all there is, and report."""
        while True:
            changes = await self._feed.changes(writer.applied_seq, CHANGES_AT_ONCE)
            if changes:
                with stage("indexing.keyword"):
                    await self._replace(writer, changes)
                    await asyncio.to_thread(writer.commit, changes[-1].seq)
            finished = await self._feed.report(self._name, writer.applied_seq)
            metrics.DOCUMENTS.labels("indexed").inc(finished)
            if len(changes) < CHANGES_AT_ONCE:
                return

    async def _replace(self, writer: KeywordWriter, changes: Sequence[KeywordChange]) -> None:
        for ids in _portions(list(dict.fromkeys(change.document_id for change in changes))):
            live = await self._feed.live(ids)
            await asyncio.to_thread(_write, writer, ids, live)

    async def _rebuild(self, writer: KeywordWriter, head: int) -> None:
        """Fill the index anew. Documents that change meanwhile do so above `head` and are applied again."""
        log.info("keyword.rebuild_started", head=head)
        await self._feed.register(self._name)
        await asyncio.to_thread(writer.clear)
        count, after = 0, None
        while True:
            ids = await self._feed.all_live(after, DOCUMENTS_AT_ONCE)
            if not ids:
                break
            await asyncio.to_thread(_write, writer, ids, await self._feed.live(ids))
            count, after = count + len(ids), ids[-1]
            if count % REBUILD_COMMIT == 0:
                await asyncio.to_thread(writer.commit, 0)
        await asyncio.to_thread(writer.commit, head)
        log.info("keyword.rebuild_finished", documents=count, head=head)


def needs_rebuild(state: FollowerState, applied_seq: int) -> bool:
    """Whether changes may be missing between the index and the feed.

    The feed keeps what a known follower has yet to apply. So an index may go on from where it is if the database knows
    it and it is not older than its last report; and not from beyond the newest change (another database's index).
    """
    if state.reported is None or applied_seq == 0:
        return True
    return applied_seq < state.reported or applied_seq > state.head


def _portions(ids: list[UUID]) -> list[list[UUID]]:
    return [ids[start : start + DOCUMENTS_AT_ONCE] for start in range(0, len(ids), DOCUMENTS_AT_ONCE)]


def _write(writer: KeywordWriter, ids: Sequence[UUID], live: dict[UUID, LiveDocument]) -> None:
    for id_ in ids:
        document = live.get(id_)
        if document is None:
            writer.delete_document(id_)
        else:
            writer.replace_document(document.tenant_id, document.kb_id, id_, document.chunks)


async def _close(writer: KeywordWriter) -> None:
    try:
        await asyncio.to_thread(writer.close)
    except Exception:
        log.exception("keyword.close_failed")
