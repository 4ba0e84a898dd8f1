"""`voicehelper ask "退款多久到账？"`: a question to the running server, its answer streamed to the terminal."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Annotated, NoReturn
from uuid import UUID

import typer

from voicehelper.cli.client import ApiClient, ClientError
from voicehelper.cli.sse import ServerEvent
from voicehelper.config import Settings
from voicehelper.wire.common import ErrorBody
from voicehelper.wire.conversations import CitationView, MessageView

_INTERRUPTED = 130


def register(app: typer.Typer) -> None:
    """Add `ask` to the command line."""
    app.command()(ask)


def ask(  # noqa: PLR0917 - typer's shape: one argument per option
    question: Annotated[str, typer.Argument(help="What you want to know")],
    kb: Annotated[
        list[str] | None, typer.Option("--kb", help="Knowledge base to search (name or id); repeatable")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print question and answer as one JSON object")] = False,
    follow: Annotated[bool, typer.Option("--continue", "-c", help="Go on with the last conversation")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show stages and timings")] = False,
    email: Annotated[
        str | None, typer.Option(envvar="VOICEHELPER_EMAIL", help="Account; default: the first admin")
    ] = None,
    password: Annotated[str | None, typer.Option(envvar="VOICEHELPER_PASSWORD")] = None,
    url: Annotated[str | None, typer.Option(envvar="VOICEHELPER_URL", help="Server; default: this machine's")] = None,
) -> None:
    """Ask the knowledge base. 向知识库提问。

    Exit status: 0 when an answer came (also "not in the knowledge base"), 1 when none came, 130 when interrupted.
    """
    try:
        with ApiClient.from_settings(Settings(), email, password, url) as client:
            conversation = _conversation(client, kb or [], follow)
            if as_json:
                typer.echo(client.ask(conversation, question, kb).model_dump_json(indent=2))
                return
            with closing(client.stream(conversation, question, kb)) as events:
                failure = show(events, verbose)
    except ClientError as error:
        _fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(_INTERRUPTED) from None
    if failure is not None:
        _fail(f"{failure.message} (code {failure.code}, trace {failure.trace_id})")


def show(events: Iterable[ServerEvent], verbose: bool = False) -> ErrorBody | None:
    """Print an answer as it comes, then its citations; returns the error that ended it, if one did."""
    for event in events:
        match event.name:
            case "status" if verbose:
                typer.echo(f"… {event.data['stage']}", err=True)
            case "delta":
                typer.echo(event.data["text"], nl=False)
                sys.stdout.flush()
            case "message.completed":
                message = MessageView.model_validate(event.data["message"])
                typer.echo("")
                _echo_all(citation_lines(message.citations))
                if verbose:
                    _echo_all(facts(message), err=True)
            case "error":
                typer.echo("")
                return ErrorBody.model_validate(event.data)
    return None


def citation_lines(citations: Iterable[CitationView]) -> Iterator[str]:
    """Numbered sources: document, page, heading, and the quote each answer rests on."""
    shown: set[tuple[int, str]] = set()
    for citation in citations:
        if (citation.index, citation.quote) in shown:
            continue
        if not shown:
            yield ""
        shown.add((citation.index, citation.quote))
        page = f"p. {citation.page}" if citation.page is not None else ""
        where = " · ".join(part for part in (citation.document_name, page, " > ".join(citation.heading)) if part)
        yield f"[{citation.index}] {where}"
        yield f"    “{' '.join(citation.quote.split())}”"


def facts(message: MessageView) -> Iterator[str]:
    """Outcome, model, what was degraded, and milliseconds by stage."""
    known = message.metadata
    yield ""
    yield f"{known.get('outcome', '')} · {known.get('model', '')} · tokens {known.get('usage', {})}"
    if known.get("degraded"):
        yield f"degraded: {', '.join(known['degraded'])}"
    yield "  ".join(f"{name} {ms:.0f} ms" for name, ms in known.get("timings_ms", {}).items())


def _conversation(client: ApiClient, bases: list[str], follow: bool) -> UUID:
    """The last conversation, or a new one."""
    last = client.conversations(limit=1) if follow else []
    return last[0].id if last else client.create_conversation(bases).id


def _echo_all(lines: Iterable[str], err: bool = False) -> None:
    for line in lines:
        typer.echo(line, err=err)


def _fail(text: str) -> NoReturn:
    typer.echo(text, err=True)
    raise typer.Exit(1)
