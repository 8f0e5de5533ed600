"""Commands on models and API keys."""

from datetime import datetime
from pathlib import Path

import click

from lmaas.answers import Model
from lmaas.cli.model_state import state_of
from lmaas.cli.moments import time_ahead
from lmaas.cli.output import ago, json_option, print_json, print_table, server_options, size
from lmaas.client import Client
from lmaas.local.checkout import find_checkout
from lmaas.local.store import import_folder


@click.group()
def models() -> None:
    """Models: import one, list them."""


@models.command(name="import")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--name", required=True, help="A new version if the name exists.")
@click.option("--alias", "aliases", multiple=True, help="May be given again.")
@json_option
def import_(folder: Path, name: str, aliases: tuple[str, ...], as_json: bool) -> None:
    """Put a FOLDER of safetensors, config and tokenizer into the Model Store.

    Works on the server's machine only: a path never goes over HTTP.
    """
    imported = import_folder(find_checkout(), folder, name, aliases)
    if as_json:
        print_json(imported)
        return
    click.echo(f"{imported.get('name', name)}@{imported.get('version', '?')}")


@models.command(name="ls")
@server_options
def models_ls(url: str | None, as_json: bool) -> None:
    """List the model versions that jobs can name."""
    with Client(url) as client:
        found = client.models()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            model.id,
            ", ".join(model.aliases) or "-",
            ", ".join(model.tasks),
            model.context_length,
            size(model.size_bytes),
            model.workers,
            state_of(model),
        )
        for model in found
    ]
    columns = ("model", "aliases", "tasks", "context", "size", "workers", "state")
    print_table(columns, rows, "no models; `lmaas models import FOLDER --name NAME` adds one")


@models.command()
@click.argument("name")
@click.option("--reason", default="", help="Shown to whoever asks why a job waits.")
@server_options
def pause(name: str, reason: str, url: str | None, as_json: bool) -> None:
    """Start no more jobs of a model: NAME (its newest version) or NAME@VERSION.

    Running jobs finish, waiting ones wait, new ones are accepted.
    """
    with Client(url) as client:
        model = client.pause(name, reason)
    _told(model, "is paused", as_json=as_json)


@models.command()
@click.argument("name")
@server_options
def resume(name: str, url: str | None, as_json: bool) -> None:
    """Let a paused model start its jobs again."""
    with Client(url) as client:
        model = client.resume(name)
    _told(model, "goes on", as_json=as_json)


def _told(model: Model, what: str, *, as_json: bool) -> None:
    if as_json:
        print_json(model)
    else:
        click.echo(f"{model.id} {what}")


@click.group()
def keys() -> None:
    """API keys: create, list, revoke."""


@keys.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    metavar="SCOPE",
    help="jobs, batches, models:read, models:write or admin; may be given again; default: "
    "jobs and models:read.",
)
@click.option(
    "--expires-at",
    type=time_ahead,
    metavar="TIME",
    help="RFC 3339, such as 2027-01-31T00:00:00Z, or 30d from now.",
)
@server_options
def create(
    name: str, scopes: tuple[str, ...], expires_at: datetime | None, url: str | None, as_json: bool
) -> None:
    """Create a key and print it; it is shown this one time."""
    ends = None if expires_at is None else expires_at.isoformat()
    with Client(url) as client:
        key = client.keys.create(name, scopes=scopes, expires_at=ends)
    if as_json:
        print_json(key)
    else:
        click.echo(key.key)


@keys.command(name="ls")
@server_options
def keys_ls(url: str | None, as_json: bool) -> None:
    """List the keys, without their secrets."""
    with Client(url) as client:
        found = client.keys.ls()
    if as_json:
        print_json(found)
        return
    rows = [
        (
            key.id,
            key.name,
            f"{key.prefix}...",
            ", ".join(key.scopes),
            ago(key.created_at),
            ago(key.last_used_at),
            "revoked" if key.revoked_at else (key.expires_at or "never"),
        )
        for key in found
    ]
    print_table(("id", "name", "key", "scopes", "created", "used", "ends"), rows, "no keys")


@keys.command()
@click.argument("key_id")
@server_options
def revoke(key_id: str, url: str | None, as_json: bool) -> None:
    """End a key at once."""
    with Client(url) as client:
        key = client.keys.revoke(key_id)
    if as_json:
        print_json(key)
    else:
        click.echo(f"{key.id}\trevoked")
