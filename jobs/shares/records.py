"""The tables by which the dispatcher decides whose turn it is (decision 0006).

A flow is the work of one tenant in one class for one model version. Written by
`TaskManager.release` and `TaskManager.settle`; nothing in them is needed to
know what became of a job.
"""

from datetime import datetime
from uuid import UUID

from sqlalchemy import BigInteger, Column, Date, Double, Integer, Table, Text, Uuid
from sqlalchemy.orm import Mapped, mapped_column

from jobs.database import Base
from jobs.records import NOW, Moment


class FairShareRecord(Base):
    """What a flow was given so far, in tokens by its weight."""

    __tablename__ = "fair_shares"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    tenant_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    priority: Mapped[str] = mapped_column(Text, primary_key=True)
    virtual: Mapped[float] = mapped_column(Double, server_default="0")
    # Which part of `max_tokens` its jobs use, learned from those that ended; None: not yet.
    fill: Mapped[float | None] = mapped_column(Double)


class ModelClockRecord(Base):
    """A model version's virtual time. `epoch` grows with every release, so that
    of two dispatchers that decide at once one finds out."""

    __tablename__ = "model_clocks"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    epoch: Mapped[int] = mapped_column(BigInteger, server_default="0")
    # Where a flow begins that had nothing waiting, and the last turn given out.
    floor: Mapped[float] = mapped_column(Double, server_default="0")
    last: Mapped[float] = mapped_column(Double, server_default="0")
    # Completion tokens a second that one busy slot makes, learned; None: not yet.
    slot_tokens_per_s: Mapped[float | None] = mapped_column(Double)


class PausedModelRecord(Base):
    """A model version of which no job is claimed until an operator resumes it."""

    __tablename__ = "paused_models"

    model: Mapped[str] = mapped_column(Text, primary_key=True)
    version: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    paused_at: Mapped[datetime] = mapped_column(Moment, server_default=NOW)
    reason: Mapped[str] = mapped_column(Text, server_default="")


# What ended, or was charged and waits again, and is to be counted; a row is added with
# that change and taken out by `TaskManager.settle`. It has no key: nobody looks for one row.
settlements = Table(
    "settlements",
    Base.metadata,
    Column("model", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("tenant_id", Uuid, nullable=False),
    Column("priority", Text, nullable=False),
    Column("charged", Integer, nullable=False),
    Column("prompt_tokens", Integer, nullable=False),
    Column("completion_tokens", Integer, nullable=False),
    Column("max_tokens", Integer, nullable=False),
    # How long it held its slot; None if it did not succeed.
    Column("service_s", Double, nullable=True),
    # What it is now, and the day (UTC) it ended on if it has: for `jobs.usage`.
    Column("state", Text, nullable=True),
    Column("ended_on", Date, nullable=True),
    # How long its first token took, and each later one in the mean: for `jobs.token_times`.
    Column("first_token_s", Double, nullable=True),
    Column("inter_token_s", Double, nullable=True),
)
