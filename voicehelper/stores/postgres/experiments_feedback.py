"""Thumbs on answers, as a metric of the experiment that the answer was part of."""

from uuid import UUID

from voicehelper.events.catalogue import FeedbackGiven, fact_of
from voicehelper.models.experiments.draw import bucket_of, draw, subject_of
from voicehelper.ports.events import Event
from voicehelper.stores.postgres.guard import transaction
from voicehelper.stores.postgres.pool import Connection, Pool

_GROUP = "experiments"
_PART_OF = """
SELECT e.id, e.salt, e.variants, m.metadata #>> '{route,variant}' AS variant
FROM messages m JOIN experiments e ON e.tenant_id = m.tenant_id AND e.name = m.metadata #>> '{route,experiment}'
WHERE m.tenant_id = $1 AND m.id = $2"""
_HAS = "SELECT variant FROM experiment_assignments WHERE experiment_id = $1 AND subject = $2"
_ONCE = "INSERT INTO processed_events (consumer, event_id, tenant_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING"
_COUNT = """
INSERT INTO experiment_tallies AS t (experiment_id, variant, metric, bucket, tenant_id, n, total, squares)
VALUES ($1, $2, 'feedback', $3, $4, 1, $5, $5)
ON CONFLICT (experiment_id, variant, metric, bucket) DO UPDATE
SET n = t.n + 1, total = t.total + excluded.total, squares = t.squares + excluded.squares"""


class PostgresExperimentFeedback:
    """Counts judgements as they are told of."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def handle(self, event: Event) -> None:
        """The first judgement of an answer counts, 1 for up and 0 for down; a change of mind does not. Nothing happens
        for answers outside an experiment. Raises `Unavailable`."""
        fact = fact_of(event)
        if not isinstance(fact, FeedbackGiven):
            return
        async with transaction(self._pool, event.tenant_id) as conn:
            await _count(conn, event.tenant_id, fact)


async def _count(conn: Connection, tenant_id: UUID, fact: FeedbackGiven) -> None:
    row = await conn.fetchrow(_PART_OF, tenant_id, fact.message_id)
    if row is None:
        return
    drawn = draw(row["id"], row["salt"], str(fact.user_id))
    place = await conn.fetchval(_HAS, row["id"], subject_of(drawn))
    # Who was sent over from a stopped variant says `control` in the metadata, and is not part of its figures.
    if place is None or row["variants"][place]["name"] != row["variant"]:
        return
    if await conn.execute(_ONCE, _GROUP, fact.message_id, tenant_id) == "INSERT 0 1":
        await conn.execute(_COUNT, row["id"], row["variant"], bucket_of(drawn), tenant_id, float(fact.rating == "up"))
