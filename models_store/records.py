"""The Model Store's tables: versions, which never change, and aliases, which move."""

from datetime import datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKeyConstraint,
    Index,
    Integer,
    Text,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base


class ModelVersionRecord(Base):
    """One imported folder. `sha256` is that of its manifest, so that the same
    files never become two versions of one name."""

    __tablename__ = "model_versions"
    __table_args__ = (
        UniqueConstraint("name", "sha256"),
        CheckConstraint("version >= 1", name="version_positive"),
        CheckConstraint("engine IN ('lm', 'encoder', 'echo')", name="engine_known"),
        CheckConstraint("context_length >= 1", name="context_length_positive"),
    )

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    engine: Mapped[str] = mapped_column(Text)
    tasks: Mapped[list[str]] = mapped_column(ARRAY(Text))
    context_length: Mapped[int] = mapped_column(Integer)
    sha256: Mapped[str] = mapped_column(Text)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), server_default=func.now())
    # No longer named by anything; then, once no job needs them, without files.
    deleted_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    erased_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))


class ModelAliasRecord(Base):
    """A second name. Without a version it follows the newest one."""

    __tablename__ = "model_aliases"
    __table_args__ = (
        ForeignKeyConstraint(
            ["name", "version"], ["model_versions.name", "model_versions.version"]
        ),
        Index(None, "name"),
    )

    alias: Mapped[str] = mapped_column(Text, primary_key=True)
    name: Mapped[str] = mapped_column(Text)
    version: Mapped[int | None] = mapped_column(Integer)
