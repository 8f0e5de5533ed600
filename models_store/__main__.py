"""`python -m models_store`: import models, name them, list them.

Exit status: 0 done, 1 refused or the database is away (one sentence on
stderr), 2 wrong usage.
"""

import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click
from sqlalchemy import Engine
from sqlalchemy.exc import ProgrammingError

from jobs import settings
from jobs.database import open_engine, transact
from jobs.errors import LmaasError
from models_store import aliases as alias_names
from models_store import catalog, deletion, echo, importer
from models_store.catalog import ModelVersion

T = TypeVar("T")

_json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
_alias_option = click.option(
    "--alias", "aliases", multiple=True, help="A second name that follows the newest version."
)


@click.group()
def main() -> None:
    """The Model Store's models, versions and aliases."""


@main.command("import")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option("--name", required=True, help="The model's name; the files become its next version.")
@_alias_option
@_json_option
def import_command(folder: Path, name: str, aliases: tuple[str, ...], as_json: bool) -> None:
    """Check FOLDER and make it the next version of a model."""
    _show(_run(lambda engine: _import(engine, folder, name, aliases)), as_json=as_json)


@main.command("echo")
@click.option("--name", default="echo", show_default=True)
@_alias_option
@_json_option
def echo_command(name: str, aliases: tuple[str, ...], as_json: bool) -> None:
    """Make and import the echo engine's model (deterministic, for tests)."""

    def work(engine: Engine) -> ModelVersion:
        with tempfile.TemporaryDirectory(prefix="lmaas-echo-") as folder:
            echo.write_folder(Path(folder))
            return _import(engine, Path(folder), name, aliases)

    _show(_run(work), as_json=as_json)


@main.command("ls")
@_json_option
def list_command(as_json: bool) -> None:
    """List all versions."""
    models = _run(lambda engine: transact(engine, catalog.list_models))
    if as_json:
        click.echo(json.dumps([_as_json(model) for model in models], indent=2))
        return
    for model in models:
        click.echo(_line(model))
    if not models:
        click.echo("the Model Store is empty; `python -m models_store import` fills it", err=True)


@main.command("alias")
@click.argument("alias")
@click.argument("model")
@_json_option
def alias_command(alias: str, model: str, as_json: bool) -> None:
    """Point ALIAS at MODEL: a name (follow its newest version) or name@version."""
    moved = _run(
        lambda engine: transact(
            engine, lambda connection: alias_names.move(connection, alias, model)
        )
    )
    _show(moved, as_json=as_json)


@main.command("rm")
@click.argument("version", metavar="NAME@VERSION")
@click.option("--end-jobs", is_flag=True, help="Fail the jobs that wait for it.")
def remove_command(version: str, *, end_jobs: bool) -> None:
    """Delete a version: nothing names it any more; its files go when no job needs them."""
    gone = _run(
        lambda engine: transact(
            engine, lambda connection: deletion.delete(connection, version, end_jobs=end_jobs)
        )
    )
    click.echo(
        f"{gone.reference} is deleted; stop the workers that host it. The housekeeper removes its "
        "files when no job needs them; importing the same files again brings it back"
    )


def _import(engine: Engine, folder: Path, name: str, aliases: tuple[str, ...]) -> ModelVersion:
    return importer.import_folder(
        folder,
        name=name,
        models_folder=settings.load().models_folder,
        engine=engine,
        aliases=aliases,
    )


def _run(work: Callable[[Engine], T]) -> T:
    """Runs a command's work; what went wrong becomes one sentence and status 1."""
    try:
        engine = open_engine(settings.load(), application="models_store", connections=1)
        try:
            return work(engine)
        finally:
            engine.dispose()
    except LmaasError as error:
        click.echo(f"error: {error}", err=True)
    except ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != "42P01":
            raise
        click.echo("error: the database has no tables yet; run `python -m migrations`", err=True)
    sys.exit(1)


def _show(model: ModelVersion, *, as_json: bool) -> None:
    click.echo(json.dumps(_as_json(model), indent=2) if as_json else _line(model))


def _as_json(model: ModelVersion) -> dict[str, object]:
    return {
        "id": model.reference,
        "name": model.name,
        "version": model.version,
        "aliases": list(model.aliases),
        "tasks": list(model.tasks),
        "context_length": model.context_length,
        "engine": model.engine,
        "size_bytes": model.size_bytes,
        "sha256": model.sha256,
        "created_at": model.created_at.isoformat(),
    }


def _line(model: ModelVersion) -> str:
    names = f" ({', '.join(model.aliases)})" if model.aliases else ""
    return (
        f"{model.reference}{names}: {model.engine}, {', '.join(model.tasks)}, "
        f"{model.context_length:,} tokens, {model.size_bytes / 1e6:,.1f} MB"
    )


if __name__ == "__main__":
    main(prog_name="python -m models_store")
