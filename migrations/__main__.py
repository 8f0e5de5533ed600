"""`python -m migrations`: brings the database to the newest revision.

Safe to run twice and in two places at once; the second waits for the first.
"""

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from jobs.database import open_engine
from jobs.errors import LmaasError
from jobs.settings import load

_LOCK = text("SELECT pg_advisory_lock(hashtextextended('lmaas.migrations', 0))")


def configuration(connection: Connection) -> Config:
    """Alembic's configuration over an open connection."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    config.attributes["connection"] = connection
    return config


def upgrade(connection: Connection) -> None:
    """Migrates to the newest revision; commits."""
    connection.execute(text("SET lock_timeout = 0; SET statement_timeout = 0"))
    connection.execute(_LOCK)
    command.upgrade(configuration(connection), "head")
    connection.commit()


def main() -> None:
    """Runs the upgrade; a sentence and exit code 1 if it cannot."""
    try:
        engine = open_engine(load(), application="lmaas-release", connections=1)
        with engine.connect() as connection:
            upgrade(connection)
            connection.invalidate()  # gives the advisory lock back with the session
        engine.dispose()
    except LmaasError as error:
        sys.exit(f"release failed: {error.message}")
    except OperationalError as error:
        sys.exit(f"release failed: Postgres does not answer ({type(error.orig).__name__})")


if __name__ == "__main__":
    main()
