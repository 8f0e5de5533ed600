"""Deleting a version: first nothing names it, then its jobs end, then its files go.

The row stays, so that a number never means two things; the same files imported
again take the deletion back. Every function works in the caller's transaction.
"""

from sqlalchemy import ColumnElement, Connection, and_, func, select, update

from jobs import audit, deletions
from jobs.audit import Actor, Change, Scalar
from jobs.errors import ModelInUse
from models_store import catalog
from models_store.catalog import ModelVersion, lock_names, resolve
from models_store.names import parse_reference
from models_store.records import ModelAliasRecord, ModelVersionRecord


def delete(
    connection: Connection, text: str, *, end_jobs: bool = False, by: Actor | None = None
) -> ModelVersion:
    """Lets nothing name the version `text` (`name@version`) any more. `by` stands in the
    audit log, None for an operator.

    Raises `UnknownModel`, or `ModelInUse` while an alias would be left without
    a version or, unless `end_jobs`, while jobs wait for it or run on it.
    """
    reference = parse_reference(text)
    if reference is None or reference[1] is None:
        raise ModelInUse(f"name the one version to delete, as in {text[:140]}@1", param="model")
    lock_names(connection, [reference[0]])
    version = resolve(connection, text)
    _check_aliases(connection, version)
    open_jobs = deletions.open_jobs(connection, version.name, version.version)
    if open_jobs and not end_jobs:
        raise ModelInUse(
            f"{open_jobs:,} jobs wait for {version.reference} or run on it; let them end, cancel "
            "them, or give --end-jobs: what waits fails as model_deleted then, what runs ends",
            param="model",
        )
    _mark(connection, version, deleted_at=func.clock_timestamp())
    details: dict[str, Scalar] = {"open_jobs": open_jobs, "end_jobs": end_jobs}
    audit.record(connection, by, Change("model.delete", version.reference, details))
    return version


def take_back(connection: Connection, version: ModelVersion) -> None:
    """Makes a deleted version one like the others again; its files are in place."""
    _mark(connection, version, deleted_at=None, erased_at=None)


def waiting_for_erasure(connection: Connection) -> list[ModelVersion]:
    """Deleted versions whose files are still there."""
    return catalog.list_where(
        connection,
        and_(ModelVersionRecord.deleted_at.is_not(None), ModelVersionRecord.erased_at.is_(None)),
    )


def mark_erased(connection: Connection, version: ModelVersion) -> None:
    """Its files are gone. Hold `lock_names` from before they went."""
    _mark(connection, version, erased_at=func.clock_timestamp())


def _check_aliases(connection: Connection, version: ModelVersion) -> None:
    """An alias that follows the newest version may fall back to the one before."""
    others = connection.scalar(
        select(func.count())
        .select_from(ModelVersionRecord)
        .where(ModelVersionRecord.name == version.name, ModelVersionRecord.deleted_at.is_(None))
    )
    pinned = ModelAliasRecord.version == version.version
    left_alone = pinned if others != 1 else ModelAliasRecord.name == version.name
    alias = connection.scalar(
        select(ModelAliasRecord.alias)
        .where(ModelAliasRecord.name == version.name, left_alone)
        .order_by(ModelAliasRecord.alias)
        .limit(1)
    )
    if alias is not None:
        raise ModelInUse(
            f"the alias {alias!r} names {version.reference}; move it first with "
            f"`python -m models_store alias {alias} MODEL`",
            param="model",
        )


def _mark(connection: Connection, version: ModelVersion, **moments: object) -> None:
    connection.execute(update(ModelVersionRecord).where(_is(version)).values(**moments))


def _is(version: ModelVersion) -> ColumnElement[bool]:
    return and_(
        ModelVersionRecord.name == version.name, ModelVersionRecord.version == version.version
    )
