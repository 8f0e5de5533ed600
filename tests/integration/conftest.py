"""What tests of the Task Manager begin with."""

from uuid import UUID

import pytest
from sqlalchemy import Engine

from jobs.task_manager import TaskManager
from tests.integration.job_samples import a_tenant


@pytest.fixture
def manager(engine: Engine) -> TaskManager:
    return TaskManager(engine)


@pytest.fixture
def tenant_id(engine: Engine) -> UUID:
    return a_tenant(engine)
