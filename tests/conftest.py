"""What all tests share: one real Postgres and one real Valkey, a database each.

`DATABASE_URL` and `REDIS_URL` are used when they are set, so the same tests
run against servers of your own; else embedded ones are started for the run.
A missing server fails, it does not skip.
"""

import itertools
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from jobs.database import open_engine
from jobs.settings import Settings
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from migrations.__main__ import upgrade
from tests.conditions import ROOT
from tests.minilm import minilm
from workers.convert import convert, smollm2_file

if "PYTEST_XDIST_WORKER" in os.environ:
    # A core for each of the suite's processes; torch in all of them would wait for itself.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell starts what runs in its background deaf to Ctrl-C, and children inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Of this process: several may run parts of the suite against one server.
_TEMPLATE = f"lmaas_template_{os.getpid()}"
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def postgres_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server's URL; the database it names is not used by tests."""
    if given := os.environ.get("DATABASE_URL"):
        yield given
        return
    server = EmbeddedPostgres(tmp_path_factory.mktemp("postgres"), fsync=False)
    yield server.start()
    server.remove()


@pytest.fixture(scope="session")
def redis_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A real Valkey."""
    if given := os.environ.get("REDIS_URL"):
        yield given
        return
    server = EmbeddedValkey(tmp_path_factory.mktemp("valkey"))
    yield server.start()
    server.stop()


@pytest.fixture(scope="session")
def _template(postgres_url: str) -> str:
    """A migrated database that tests' databases are copied from."""
    _admin(postgres_url, f"DROP DATABASE IF EXISTS {_TEMPLATE}", f"CREATE DATABASE {_TEMPLATE}")
    engine = create_engine(make_url(postgres_url).set(database=_TEMPLATE))
    with engine.connect() as connection:
        upgrade(connection)
    engine.dispose()
    return _TEMPLATE


@pytest.fixture
def database_url(postgres_url: str, _template: str) -> Iterator[str]:
    """A migrated, empty database of the test's own."""
    with fresh_database(postgres_url, _template) as url:
        yield url


@pytest.fixture(scope="module")
def module_database_url(postgres_url: str, _template: str) -> Iterator[str]:
    """A migrated database for all tests of a module that share a running stack."""
    with fresh_database(postgres_url, _template) as url:
        yield url


@pytest.fixture
def settings(database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Settings over the test's own database and store."""
    return Settings.model_validate(
        {"DATABASE_URL": database_url, "REDIS_URL": redis_url, "store": tmp_path / "store"}
    )


@pytest.fixture
def engine(settings: Settings) -> Iterator[Engine]:
    """Connections to the test's own database."""
    engine = open_engine(settings, application="tests", connections=10)
    yield engine
    engine.dispose()


class fresh_database:  # noqa: N801 - reads as a function
    """`with fresh_database(server, template) as url`: a copy, dropped in the end."""

    def __init__(self, server: str, template: str) -> None:
        self._server, self._template = server, template
        self._name = f"lmaas_{os.getpid()}_{next(_numbers)}"

    def __enter__(self) -> str:
        # Half the time that writing it through the log takes, with fsync off.
        copied = f"TEMPLATE {self._template} STRATEGY FILE_COPY"
        _admin(self._server, f"CREATE DATABASE {self._name} {copied}")
        url = make_url(self._server).set(database=self._name)
        return url.render_as_string(hide_password=False)

    def __exit__(self, *_: object) -> None:
        _admin(self._server, f"DROP DATABASE {self._name} WITH (FORCE)")


def _admin(server: str, *statements: str) -> None:
    engine = create_engine(make_url(server), isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        for statement in statements:
            connection.execute(text(statement))
    engine.dispose()


@pytest.fixture(scope="session")
def smollm2_folder() -> Path:
    """Real SmolLM2-135M-Instruct as safetensors, converted once per checkout;
    the folder that `lmaas up` imports too."""
    folder = ROOT / ".lmaas" / "convert" / "smollm2"
    convert(smollm2_file(), folder)
    return folder


@pytest.fixture(scope="session")
def minilm_folder() -> Path:
    """Real all-MiniLM-L6-v2, as its package has it."""
    return minilm()
