"""Every row of the fault matrix names tests that exist, and every fault test has a row."""

import ast
import re

import pytest

from tests.chaos.matrix import MATRIX
from tests.conditions import ROOT

NAMED = sorted({test for tests in MATRIX.values() for test in tests})
# Of the chaos room's own tools, not of the system.
TOOLS = {"test_checker.py", "test_fault_proxy.py", "test_matrix.py"}


def named_in(path: str) -> set[str]:
    """The names of a file's tests."""
    tree = ast.parse((ROOT / path).read_text())
    return {
        f"{path}::{node.name}"
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
    }


@pytest.mark.parametrize("test", NAMED)
def test_a_named_test_exists(test: str) -> None:
    assert test in named_in(test.partition("::")[0])


def test_the_page_on_reliability_names_the_same_rows_and_tests() -> None:
    page = (ROOT / "docs" / "reliability.md").read_text()
    table = page.partition("| fault | when |")[2].partition("\n\n")[0].splitlines()[2:]
    told = {}
    for line in table:
        fault, when, _, held_by = (cell.strip() for cell in line.strip("| ").split(" | "))
        told[fault, when] = set(re.findall(r"`(tests/[^`]+::[^`]+)`", held_by))
        assert told[fault, when] or "not built yet" in held_by, fault
    assert {row for row, tests in told.items() if tests} == set(MATRIX)
    for row, tests in MATRIX.items():
        assert told[row] <= set(tests), row


def test_every_fault_test_of_this_room_proves_a_row() -> None:
    files = {f"tests/chaos/{path.name}" for path in (ROOT / "tests" / "chaos").glob("test_*.py")
             if path.name not in TOOLS}  # fmt: skip
    own = set().union(*map(named_in, files))
    # It looks at the logs that all the others left.
    own -= {("tests/chaos/test_servers_away.py::"
            "test_no_process_log_shows_a_prompt_a_password_or_a_traceback")}  # fmt: skip
    assert own <= set(NAMED)
