"""`voicehelper events republish`: what a bus has lost comes again from the outbox. Needs the database, not the API."""

import asyncio
import re
from datetime import UTC, datetime, timedelta

import typer

from voicehelper.config import Settings
from voicehelper.errors import VoiceHelperError
from voicehelper.identity.audit import AuditEntry
from voicehelper.stores.postgres.audit import PostgresAuditLog
from voicehelper.stores.postgres.migrate import migrate
from voicehelper.stores.postgres.outbox import PostgresOutbox
from voicehelper.stores.postgres.pool import create_pool
from voicehelper.stores.postgres.wakeups import Wakeups

_SPAN = re.compile(r"(\d{1,6})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}


def register(app: typer.Typer) -> None:
    """Add the `events` group to the command line."""
    events = typer.Typer(help="Events on their way to consumers.", no_args_is_help=True)
    events.callback()(_group)
    events.command("republish")(republish)
    app.add_typer(events, name="events")


def _group() -> None:
    """A group of one command is still a group."""


def republish(
    since: str = typer.Option(..., help="A time (2026-11-22T08:00:00Z; UTC if no zone is named) or a span: 90m, 2d"),
) -> None:
    """Publish everything that happened since then once more, in order. Consumers see most of it again."""
    settings = Settings()
    moment = moment_of(since, datetime.now(UTC))
    try:
        count = asyncio.run(_republish(settings, moment))
    except VoiceHelperError as error:
        typer.echo(f"voicehelper events: {error}", err=True)
        raise typer.Exit(1) from error
    typer.echo(f"{count} events since {moment:%Y-%m-%d %H:%M:%S} UTC are on their way again")


def moment_of(since: str, now: datetime) -> datetime:
    """The moment that `since` names. Raises `typer.BadParameter` where it names none."""
    span = _SPAN.fullmatch(since.strip())
    try:
        if span:
            return now - timedelta(**{_UNITS[span[2]]: int(span[1])})
        moment = datetime.fromisoformat(since.strip())
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise typer.BadParameter("Neither a time nor a span such as 90m, 36h, 2d", param_hint="--since") from error


async def _republish(settings: Settings, since: datetime) -> int:
    await migrate(settings.postgres_dsn())
    pool = await create_pool(settings.postgres_dsn(), max_size=2)
    try:
        count = await PostgresOutbox(pool, Wakeups(pool)).republish(since)
        details = {"since": since.isoformat(), "events": count}
        await PostgresAuditLog(pool).record(
            AuditEntry(None, "events.republished", "system", resource="event", details=details)
        )
    finally:
        await pool.close()
    return count
