"""One arena for all faults: its servers and processes start once."""

import random
import zlib
from collections.abc import Iterator

import pytest

from tests.chaos.arena import Arena

SEED = 7


@pytest.fixture(scope="session")
def _arena(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Arena]:
    arena = Arena(tmp_path_factory.mktemp("arena"))
    yield arena
    try:
        arena.judge(bells_may_wait=False)
    finally:
        arena.close()


@pytest.fixture
def arena(_arena: Arena) -> Iterator[Arena]:
    """After each test all jobs have ended, the checker acquits, and the two
    steady workers are the processes that they were: no model was loaded again."""
    before = [_arena.child(name) for name in ("worker", "worker.2")]
    yield _arena
    verdict = _arena.judge()
    print(verdict)
    _arena.stack.ready(workers=2)
    assert [_arena.child(name) for name in ("worker", "worker.2")] == before


@pytest.fixture
def rng(request: pytest.FixtureRequest) -> random.Random:
    """Random numbers of the test's own; pytest shows the seed when it fails."""
    seed = SEED + zlib.crc32(request.node.name.encode())
    print(f"seed {seed}")
    return random.Random(seed)
