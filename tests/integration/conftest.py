"""What tests of the Task Manager and of the front door begin with."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from sqlalchemy import Engine

from jobs.database import open_engine
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from tests.integration.front_door import FrontDoor, front_door
from tests.integration.job_samples import a_tenant


@pytest.fixture(scope="module")
def module_engine(module_database_url: str, redis_url: str) -> Iterator[Engine]:
    """One database for all tests of a module, which empty it themselves."""
    given = {"DATABASE_URL": module_database_url, "REDIS_URL": redis_url}
    engine = open_engine(Settings.model_validate(given), application="tests", connections=10)
    yield engine
    engine.dispose()


@pytest.fixture(scope="module")
def module_door(
    module_database_url: str, redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[FrontDoor]:
    """One front door for all tests of a module."""
    folder = tmp_path_factory.mktemp("door")
    with front_door(folder, database_url=module_database_url, redis_url=redis_url) as door:
        yield door


@pytest.fixture(scope="module")
def door(module_door: FrontDoor) -> FrontDoor:
    """The same, as most call it; modules that empty it between tests have their own."""
    return module_door


@pytest.fixture
def manager(engine: Engine) -> TaskManager:
    return TaskManager(engine)


@pytest.fixture
def tenant_id(engine: Engine) -> UUID:
    return a_tenant(engine)
