"""The tables behind `explain` and the metrics: who was seen when, what was
foretold, and totals of what is gone.

No job depends on them: emptied, they fill again.
"""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, Double, Integer, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment


class ComponentRecord(Base):
    """A part of the system that no lease speaks for, as it last showed itself."""

    __tablename__ = "components"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    # Whether Redis answered it, and since when that is so; None: it does not ask.
    broker_ok: Mapped[bool | None] = mapped_column()
    broker_since: Mapped[datetime | None] = mapped_column(Moment)
    # Of a housekeeper: `jobs.outlook.failing_chores`.
    failing: Mapped[dict[str, Any]] = mapped_column(JSONB, server_default=text("'{}'::jsonb"))


class PredictionRecord(Base):
    """What was foretold of a waiting job, until it ends and is compared.
    The first word of each source counts: asking often makes no more rows.
    A latest time is None if nothing bounded it."""

    __tablename__ = "predictions"

    # No foreign key: its check would lock the job's row, which a claim then skips.
    job_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    source: Mapped[str] = mapped_column(Text, primary_key=True)
    made_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    start_earliest: Mapped[datetime] = mapped_column(Moment)
    start_expected: Mapped[datetime] = mapped_column(Moment)
    start_latest: Mapped[datetime | None] = mapped_column(Moment)
    finish_earliest: Mapped[datetime] = mapped_column(Moment)
    finish_expected: Mapped[datetime] = mapped_column(Moment)
    finish_latest: Mapped[datetime | None] = mapped_column(Moment)


class EstimateErrorRecord(Base):
    """How wrong predictions were: those whose error was at most `within_s` and
    more than the next smaller bound. `inside`: the interval held the truth."""

    __tablename__ = "estimate_errors"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    within_s: Mapped[float] = mapped_column(Double, primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger, server_default="0")
    inside: Mapped[int] = mapped_column(BigInteger, server_default="0")
    error_s: Mapped[float] = mapped_column(Double, server_default="0")


class TokenTimeRecord(Base):
    """How long tokens took (`jobs.token_times`): jobs whose time of that `kind` was less
    than `within_s` and not less than the next smaller bound."""

    __tablename__ = "token_times"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    priority: Mapped[str] = mapped_column(Text, primary_key=True)
    kind: Mapped[str] = mapped_column(Text, primary_key=True)
    within_s: Mapped[float] = mapped_column(Double, primary_key=True)
    jobs: Mapped[int] = mapped_column(BigInteger, server_default="0")
    took_s: Mapped[float] = mapped_column(Double, server_default="0")


class CounterRecord(Base):
    """Totals of rows that were counted and may be forgotten since."""

    __tablename__ = "counters"

    name: Mapped[str] = mapped_column(Text, primary_key=True)
    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    value: Mapped[int] = mapped_column(BigInteger, server_default="0")
