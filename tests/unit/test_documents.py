"""docs/life-of-a-job.md says what the code does: every name exists, the graph is the table."""

import ast
import re
from pathlib import Path

import pytest

from jobs.states import TRANSITIONS, State
from tests.conditions import ROOT
from tests.mutants.mutant import is_test

LIFE = (ROOT / "docs" / "life-of-a-job.md").read_text()
PLACES = sorted(set(re.findall(r"`([\w/]+\.py):([\w.]+)`", LIFE)))
HOPS = [line for line in LIFE.splitlines() if re.match(r"\| \d+ \|", line)]


def _names(path: Path) -> set[str]:
    """Functions, classes and Class.method of a file."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.ClassDef):
            found.add(node.name)
            found |= {f"{node.name}.{m.name}" for m in node.body if isinstance(m, ast.FunctionDef)}
        elif isinstance(node, ast.FunctionDef):
            found.add(node.name)
    return found


@pytest.mark.parametrize(("path", "name"), PLACES, ids=[f"{p}:{n}" for p, n in PLACES])
def test_every_place_that_the_page_names_exists(path: str, name: str) -> None:
    assert name in _names(ROOT / path)


def test_the_page_names_places_for_every_hop_and_has_at_most_ten_hops() -> None:
    assert 5 <= len(HOPS) <= 10
    assert all(re.search(r"`[\w/]+\.py:[\w.]+`", hop) for hop in HOPS)


def test_the_graph_of_the_page_is_the_table_of_transitions() -> None:
    drawn = set(re.findall(r"^ +(\w+) --> (\w+)$", LIFE, re.MULTILINE))
    assert drawn == {(a.value, b.value) for a, to in TRANSITIONS.items() for b in to}


def test_every_state_is_drawn() -> None:
    assert all(state.value in LIFE for state in State)


def test_every_test_that_the_page_on_reliability_names_exists() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    named = re.findall(r"`(tests/[\w/]+\.py::\w+)`", page)
    assert len(named) > 15
    assert [name for name in named if not is_test(ROOT, name)] == []


def test_the_promise_is_the_same_on_both_pages() -> None:
    promise = r"(\*\*What is promised\.\*\*.*?Losing all of Redis loses nothing\.)"
    pages = [(ROOT / name).read_text() for name in ("README.md", "docs/reliability.md")]
    first, second = (re.search(promise, page, re.DOTALL) for page in pages)
    assert first is not None
    assert second is not None
    assert first.group(1) == second.group(1)


def test_the_architecture_stays_a_page() -> None:
    assert len((ROOT / "ARCHITECTURE.md").read_text().splitlines()) <= 120


@pytest.mark.parametrize("page", sorted((ROOT / "docs" / "decisions").glob("*.md")), ids=str)
def test_a_decision_is_at_most_forty_lines(page: Path) -> None:
    assert len(page.read_text().splitlines()) <= 40


def test_links_between_pages_lead_somewhere() -> None:
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    for page in pages:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.relative_to(ROOT)} -> {target}"
