"""Which model versions there are and what a client's text means.

Every function works in the caller's transaction.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, Row, Select, Text, and_, func, insert, or_, select
from sqlalchemy.dialects.postgresql import ARRAY, aggregate_order_by
from sqlalchemy.orm import aliased

from jobs.errors import UnknownModel
from models_store.model_config import EngineName
from models_store.names import parse_reference
from models_store.records import ModelAliasRecord, ModelVersionRecord


@dataclass(frozen=True, slots=True)
class ModelVersion:
    """One version of a model, as pinned by a job.

    `sha256` is that of the manifest; `context_length` counts tokens of prompt
    and completion together.
    """

    name: str
    version: int
    engine: EngineName
    tasks: tuple[str, ...]
    context_length: int
    sha256: str
    size_bytes: int
    created_at: datetime
    deleted_at: datetime | None = None
    erased_at: datetime | None = None
    aliases: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The one text that names exactly this version."""
        return f"{self.name}@{self.version}"

    @property
    def queue(self) -> str:
        """The Celery queue on which its workers are rung."""
        return f"model.{self.name}.{self.version}"


@dataclass(frozen=True, slots=True)
class Facts:
    """What the files of a version say about it."""

    engine: EngineName
    tasks: tuple[str, ...]
    context_length: int
    sha256: str
    size_bytes: int


_Version = ModelVersionRecord
_Alias = ModelAliasRecord


def _versions() -> Select[tuple[ModelVersionRecord, list[str] | None]]:
    newer = aliased(_Version)
    newest = (
        select(func.max(newer.version))
        .where(newer.name == _Version.name, newer.deleted_at.is_(None))
        .scalar_subquery()
    )
    aliases = (
        select(func.array_agg(aggregate_order_by(_Alias.alias, _Alias.alias), type_=ARRAY(Text)))
        .where(
            _Alias.name == _Version.name,
            or_(
                _Alias.version == _Version.version,
                and_(_Alias.version.is_(None), _Version.version == newest),
            ),
        )
        .scalar_subquery()
    )
    return select(_Version.__table__, aliases.label("aliases"))


def _read(row: Row[tuple[ModelVersionRecord, list[str] | None]]) -> ModelVersion:
    fields = row._mapping
    return ModelVersion(
        **{
            **fields,
            "tasks": tuple(fields["tasks"]),
            "aliases": tuple(fields["aliases"] or ()),
        }
    )


def list_models(connection: Connection) -> list[ModelVersion]:
    """All versions but deleted ones, by name, newest first."""
    statement = (
        _versions()
        .where(_Version.deleted_at.is_(None))
        .order_by(_Version.name, _Version.version.desc())
    )
    return [_read(row) for row in connection.execute(statement)]


def list_where(connection: Connection, which: ColumnElement[bool]) -> list[ModelVersion]:
    """The versions, deleted ones too, of which that is true; in the order of their names."""
    statement = _versions().where(which).order_by(_Version.name, _Version.version)
    return [_read(row) for row in connection.execute(statement)]


def resolve(connection: Connection, text: str) -> ModelVersion:
    """The version that `text` names now: a name (its newest version), a
    `name@version`, or an alias. Raises `UnknownModel`."""
    reference = parse_reference(text)
    found = None
    if reference is not None:
        name, version = reference
        found = _find(connection, name, version)
        if found is None and version is None:
            found = _follow(connection, name)
    if found is None:
        raise UnknownModel(
            f"there is no model, version or alias {text[:140]!r}; "
            "GET /v1/models lists what there is",
            param="model",
        )
    return found


def find_content(connection: Connection, name: str, sha256: str) -> ModelVersion | None:
    """The version of `name` that has exactly these files, deleted or not."""
    statement = _versions().where(_Version.name == name, _Version.sha256 == sha256)
    row = connection.execute(statement).one_or_none()
    return None if row is None else _read(row)


def next_version(connection: Connection, name: str) -> int:
    """The number after the newest one. Hold `lock_names` until `register`."""
    newest = connection.scalar(select(func.max(_Version.version)).where(_Version.name == name))
    return 1 if newest is None else newest + 1


def register(connection: Connection, name: str, version: int, facts: Facts) -> ModelVersion:
    """Makes a version visible; its files must be in place by now."""
    connection.execute(
        insert(_Version).values(
            name=name,
            version=version,
            engine=facts.engine,
            tasks=list(facts.tasks),
            context_length=facts.context_length,
            sha256=facts.sha256,
            size_bytes=facts.size_bytes,
        )
    )
    return resolve(connection, f"{name}@{version}")


def lock_names(connection: Connection, names: Iterable[str]) -> None:
    """Lets one transaction at a time decide what these names mean.

    Locks are taken in one order, so that two imports never wait in a ring.
    """
    for name in sorted(set(names)):
        key = func.hashtextextended(f"models_store/{name}", 0)
        connection.execute(select(func.pg_advisory_xact_lock(key)))


def _find(connection: Connection, name: str, version: int | None) -> ModelVersion | None:
    statement = _versions().where(_Version.name == name, _Version.deleted_at.is_(None))
    if version is not None:
        statement = statement.where(_Version.version == version)
    row = connection.execute(statement.order_by(_Version.version.desc()).limit(1)).first()
    return None if row is None else _read(row)


def _follow(connection: Connection, alias: str) -> ModelVersion | None:
    target = connection.execute(
        select(_Alias.name, _Alias.version).where(_Alias.alias == alias)
    ).one_or_none()
    return None if target is None else _find(connection, target.name, target.version)
