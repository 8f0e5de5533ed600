"""The schedule of a long run under faults: drawn from its seed, and doable."""

from itertools import islice

import pytest

from jobs import failpoints
from tests.chaos.long_run.faults import ACTS, PROCESSES, SERVERS, Fault, Kind, draw

ROWS = pytest.mark.parametrize("kinds", [PROCESSES, SERVERS], ids=["processes", "servers"])


def first(kinds: tuple[Kind, ...], seed: str, count: int = 2_000) -> list[Fault]:
    return list(islice(draw(kinds, seed, pause_s=(0.5, 4)), count))


@ROWS
def test_a_seed_means_one_schedule(kinds: tuple[Kind, ...]) -> None:
    assert first(kinds, "1") == first(kinds, "1")
    assert first(kinds, "1") != first(kinds, "2")


@ROWS
def test_every_kind_happens_to_each_of_its_targets_within_its_bounds(
    kinds: tuple[Kind, ...],
) -> None:
    drawn = first(kinds, "1")
    assert {(fault.kind, fault.target) for fault in drawn} == {
        (kind.name, target) for kind in kinds for target in kind.targets
    }
    bounds = {kind.name: kind.hold_s for kind in kinds}
    assert all(bounds[f.kind][0] <= f.hold_s <= bounds[f.kind][1] for f in drawn)
    assert all(0.5 <= fault.pause_s <= 4 for fault in drawn)


@ROWS
def test_points_are_failpoints_that_a_process_accepts(kinds: tuple[Kind, ...]) -> None:
    assert all(failpoints.parse(fault.point) for fault in first(kinds, "1") if fault.point)


def test_no_two_kinds_have_one_name() -> None:
    assert len(ACTS) == len(PROCESSES) + len(SERVERS)
