"""`voicehelper catalogue list | presets | add | change | remove | test`: models and prices, through the server."""

from collections.abc import Callable, Iterable
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from rich.console import Console
from rich.table import Column, Table

from voicehelper.cli.catalogue_client import CatalogueClient
from voicehelper.cli.client import ClientError
from voicehelper.config import Settings, process_environment
from voicehelper.models.presets import PRESETS
from voicehelper.wire.models import ModelSaved, ModelView

_COLUMNS = ("owner", "provider", "in $/M", "out $/M", "context", "key", "")
_MICROS = 1_000_000

T = TypeVar("T")

Name = Annotated[str, typer.Argument(help="As in `voicehelper catalogue list`")]
KeyEnv = Annotated[
    str | None, typer.Option("--key-env", help="Variable of your shell that holds the provider's key; never the key")
]
Dollars = Annotated[float | None, typer.Option(min=0, max=1_000_000)]
Fallbacks = Annotated[list[str] | None, typer.Option("--fallback", help="Asked in its place, in this order")]
Account = Annotated[str | None, typer.Option(envvar="VOICEHELPER_EMAIL", help="Account; default: the first admin")]
Password = Annotated[str | None, typer.Option(envvar="VOICEHELPER_PASSWORD")]
Url = Annotated[str | None, typer.Option(envvar="VOICEHELPER_URL", help="Server; default: this machine's")]


def register(app: typer.Typer) -> None:
    """Add the `catalogue` group to the command line."""
    catalogue = typer.Typer(help="Models that requests can name, and their prices.", no_args_is_help=True)
    catalogue.command("list")(list_models)
    for command in (presets, add, change, remove, test):
        catalogue.command()(command)
    app.add_typer(catalogue, name="catalogue")


def list_models(email: Account = None, password: Password = None, url: Url = None) -> None:
    """Show every model that one's tenant can use, the newest first."""
    _show(_asked(email, password, url, lambda client: client.models()))


def presets() -> None:
    """Show the models whose capabilities and list prices are known here."""
    table = Table("preset", "provider", "in $/M", "out $/M", "context", box=None)
    for name, body in PRESETS.items():
        price = body["price"]
        table.add_row(
            name, body["provider"], _money(price["prompt"]), _money(price["completion"]), str(body["context_tokens"])
        )
    Console(soft_wrap=True).print(table)


def add(  # noqa: PLR0917 - typer's shape: one argument per option
    name: Annotated[str | None, typer.Argument(help="What requests call it; default: the preset's name")] = None,
    preset: Annotated[str | None, typer.Option(help="Of `voicehelper catalogue presets`")] = None,
    provider: Annotated[str | None, typer.Option(help="openai, anthropic, qwen, openai_compatible ...")] = None,
    remote: Annotated[str | None, typer.Option(help="The provider's name of it, if another")] = None,
    base_url: Annotated[str | None, typer.Option(help="Of its API, if not the provider's own")] = None,
    context: Annotated[int | None, typer.Option(help="Tokens of prompt and output together")] = None,
    price_in: Dollars = None,
    price_out: Dollars = None,
    capability: Annotated[list[str] | None, typer.Option(help="stream, tools, json_schema, vision ...")] = None,
    fallback: Fallbacks = None,
    key_env: KeyEnv = None,
    tenant: Annotated[bool, typer.Option("--tenant", help="For one's own tenant alone, not for all")] = False,
    email: Account = None,
    password: Password = None,
    url: Url = None,
) -> None:
    """Add a model, for all tenants or with --tenant for one's own."""
    if preset is not None and preset not in PRESETS:
        _fail(f"No preset {preset}; there are {', '.join(PRESETS)}")
    body = dict(PRESETS[preset]) if preset else {}
    name = name or preset or _fail("Give a name or a --preset")
    if preset and name != preset:
        body["remote"] = preset
    given = {
        "provider": provider,
        "remote": remote,
        "base_url": base_url,
        "context_tokens": context,
        "capabilities": capability,
        "fallbacks": fallback,
        "api_key": _key(key_env),
    }
    body |= {field: value for field, value in given.items() if value is not None}
    body |= {"name": name, "owner": "tenant" if tenant else "platform"}
    body["price"] = _price(body.get("price"), price_in, price_out)
    for field, option in (("provider", "--provider"), ("context_tokens", "--context")):
        if field not in body:
            _fail(f"Give {option}, or a --preset")
    _saved(_asked(email, password, url, lambda client: client.create_model(body)))


def change(  # noqa: PLR0917
    name: Name,
    enabled: Annotated[bool | None, typer.Option("--enable/--disable")] = None,
    base_url: Annotated[str | None, typer.Option()] = None,
    price_in: Dollars = None,
    price_out: Dollars = None,
    fallback: Fallbacks = None,
    key_env: KeyEnv = None,
    email: Account = None,
    password: Password = None,
    url: Url = None,
) -> None:
    """Change a model: what is not given stays."""
    given = {"enabled": enabled, "base_url": base_url, "fallbacks": fallback, "api_key": _key(key_env)}
    body: dict[str, Any] = {field: value for field, value in given.items() if value is not None}

    def work(client: CatalogueClient) -> ModelSaved:
        model = client.model(name)
        if price_in is not None or price_out is not None:
            body["price"] = _price(model.price.model_dump(), price_in, price_out)
        return client.change_model(model.id, {"version": model.version, **body})

    _saved(_asked(email, password, url, work))


def remove(name: Name, email: Account = None, password: Password = None, url: Url = None) -> None:
    """Remove a model. What it cost stays in the ledger."""
    _asked(email, password, url, lambda client: client.delete_model(client.model(name).id))
    typer.echo(f"{name} is removed")


def test(name: Name, email: Account = None, password: Password = None, url: Url = None) -> None:
    """Ask a model for one word: does the provider take the key, and how long does it take? Exit status 1 if not."""
    result = _asked(email, password, url, lambda client: client.test_model(client.model(name).id))
    if result.error is not None:
        _fail(f"{name}: {result.error.message} ({result.error.details.get('reason', result.error.code)})")
    first = f"first piece after {result.first_ms:.0f} ms, " if result.first_ms is not None else ""
    typer.echo(f"{name}: {first}all after {result.total_ms:.0f} ms, {result.completion_tokens} tokens")


def _asked(email: str | None, password: str | None, url: str | None, work: Callable[[CatalogueClient], T]) -> T:
    try:
        with CatalogueClient.from_settings(Settings(), email, password, url) as client:
            return work(client)
    except ClientError as error:
        _fail(str(error))


def _key(variable: str | None) -> str | None:
    """The key is read from the environment of whoever types: a command line is seen by others, and remembered."""
    if variable is None:
        return None
    return process_environment().get(variable) or _fail(f"The variable {variable} is not set")


def _price(known: dict[str, Any] | None, price_in: float | None, price_out: float | None) -> dict[str, Any]:
    price = dict(known or {})
    for field, dollars in (("prompt", price_in), ("completion", price_out)):
        if dollars is not None:
            price[field] = round(dollars * _MICROS)
    return price


def _show(models: Iterable[ModelView]) -> None:
    table = Table(Column("model", overflow="fold", min_width=24), *_COLUMNS, box=None)
    for model in models:
        table.add_row(
            model.name,
            model.owner,
            model.provider,
            _money(model.price.prompt),
            _money(model.price.completion),
            str(model.context_tokens),
            "yes" if model.has_key else "",
            "" if model.enabled else "disabled",
        )
    Console().print(table)


def _saved(model: ModelSaved) -> None:
    typer.echo(f"{model.name}: version {model.version}, {'enabled' if model.enabled else 'disabled'}")
    for warning in model.warnings:
        typer.echo(f"  {warning}", err=True)


def _money(micros: int) -> str:
    return f"{micros / _MICROS:g}"


def _fail(message: str) -> NoReturn:
    typer.echo(f"voicehelper catalogue: {message}", err=True)
    raise typer.Exit(1)
