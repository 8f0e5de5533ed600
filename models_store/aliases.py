"""Second names for models: made at import, moved on purpose."""

from collections.abc import Sequence

from sqlalchemy import Connection, select
from sqlalchemy.dialects.postgresql import insert

from jobs import audit
from jobs.audit import Actor, Change
from jobs.errors import ModelRefused
from models_store.catalog import ModelVersion, lock_names, resolve
from models_store.names import check_aliases, check_name
from models_store.records import ModelAliasRecord, ModelVersionRecord


def check_free(connection: Connection, name: str, aliases: Sequence[str]) -> None:
    """Raises `ModelRefused` if `name` is an alias already, or if an alias is a
    model's name or belongs to another model."""
    taken = connection.scalar(select(ModelAliasRecord.name).where(ModelAliasRecord.alias == name))
    if taken is not None:
        raise ModelRefused(
            f"{name!r} is an alias of the model {taken!r} already; choose another name",
            param="name",
        )
    _refuse_names(connection, aliases)
    rows = connection.execute(
        select(ModelAliasRecord.alias, ModelAliasRecord.name).where(
            ModelAliasRecord.alias.in_(aliases), ModelAliasRecord.name != name
        )
    )
    for alias, other in rows:
        raise ModelRefused(
            f"the alias {alias!r} belongs to the model {other!r}; move it on purpose with "
            f"`python -m models_store alias {alias} {name}`",
            param="aliases",
        )


def add(connection: Connection, name: str, aliases: Sequence[str]) -> None:
    """Lets new aliases follow the newest version of `name`; those that name it
    already, pinned or not, stay as they are."""
    for alias in aliases:
        connection.execute(
            insert(ModelAliasRecord).values(alias=alias, name=name).on_conflict_do_nothing()
        )


def move(connection: Connection, alias: str, target: str, by: Actor | None = None) -> ModelVersion:
    """Points `alias` at `target`: a name (follow its newest version) or a
    `name@version` (stay there). Answers the version it names now. `by` stands in the
    audit log, None for an operator.

    Raises `UnknownModel`, or `ModelRefused` if `alias` is a model's name.
    """
    check_name(alias, kind="alias")
    lock_names(connection, [alias])
    _refuse_names(connection, [alias])
    model = resolve(connection, target)
    check_aliases([alias], name=model.name)
    pinned = model.version if "@" in target else None
    before = _target(connection, alias)
    connection.execute(
        insert(ModelAliasRecord)
        .values(alias=alias, name=model.name, version=pinned)
        .on_conflict_do_update(
            index_elements=["alias"], set_={"name": model.name, "version": pinned}
        )
    )
    after = _target(connection, alias)
    if after != before:  # said again it is no change
        audit.record(connection, by, Change("alias.move", alias, {"from": before, "to": after}))
    return resolve(connection, alias)


def _target(connection: Connection, alias: str) -> str | None:
    """What an alias points at, as it is written."""
    found = connection.execute(
        select(ModelAliasRecord.name, ModelAliasRecord.version).where(
            ModelAliasRecord.alias == alias
        )
    ).one_or_none()
    if found is None or found.version is None:
        return None if found is None else str(found.name)
    return f"{found.name}@{found.version}"


def _refuse_names(connection: Connection, aliases: Sequence[str]) -> None:
    clash = connection.scalar(
        select(ModelVersionRecord.name).where(ModelVersionRecord.name.in_(aliases)).limit(1)
    )
    if clash is not None:
        raise ModelRefused(
            f"{clash!r} is the name of a model and cannot be an alias too; choose another alias",
            param="aliases",
        )
