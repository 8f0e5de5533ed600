"""A worker in a crash loop proves its engine, then takes one job alone."""

from pathlib import Path
from uuid import UUID

import pytest

from jobs.ids import new_id
from models_store.echo import write_folder
from workers.confidence import Confidence, prove
from workers.engines.echo import EchoEngine
from workers.engines.protocol import Chunk, Partial, Request, Sampling, Texts, Work

WRITES = Request(new_id(), [104, 105], Sampling(max_tokens=2))
READS = Texts(new_id(), [[104, 105]])


def test_a_worker_like_any_other_takes_what_fits() -> None:
    assert Confidence().room(8, 0) == 8
    assert Confidence().room(8, 8) == 0


def test_a_careful_one_takes_one_alone_until_it_is_done() -> None:
    confidence = Confidence()
    confidence.careful = True
    assert confidence.room(8, 0) == 1
    assert confidence.room(8, 1) == 0
    confidence.gain()
    assert confidence.room(8, 1) == 7


@pytest.mark.parametrize("work", [WRITES, READS], ids=["writes", "reads"])
def test_a_good_engine_proves_itself_and_is_empty_again(tmp_path: Path, work: Work) -> None:
    write_folder(tmp_path)
    engine = EchoEngine(slots=1, tokens_per_s=0, folder=tmp_path)
    assert prove(engine, work) is engine
    assert engine.active == 0


class Broken:
    """An engine that breaks in its first step."""

    slots = 1
    active = 0

    def add(self, request: Work) -> None:
        self.active = 1

    def remove(self, id: UUID) -> Partial | None:
        raise AssertionError(id)

    def step(self) -> list[Chunk]:
        raise RuntimeError("no kernel image is available")


def test_a_broken_engine_breaks_before_any_job() -> None:
    with pytest.raises(RuntimeError, match="kernel image"):
        prove(Broken(), WRITES)
