"""Product code stays readable in one sitting: short files, short functions."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conditions import ROOT

MOST_LINES = 220
MOST_FUNCTION_LINES = 45
FOLDERS = (
    "jobs", "bells", "routing", "api", "dispatcher", "workers", "models_store", "files_store",
    "migrations", "lmaas",
)  # fmt: skip
# A revision is a record of what was done; it is not edited to be shorter.
EXEMPT = ROOT / "migrations" / "versions"

FILES = sorted(
    path
    for folder in FOLDERS
    for path in (ROOT / folder).rglob("*.py")
    if EXEMPT not in path.parents
)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def own_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Lines of a function without those of functions inside it: a function that
    only holds others (routes of a blueprint) is as long as what it says itself."""
    inner = [other for child in ast.iter_child_nodes(node) for other in functions(child)]
    inside = {line for other in inner for line in range(other.lineno, (other.end_lineno or 0) + 1)}
    return len(set(range(node.lineno, (node.end_lineno or 0) + 1)) - inside)


def test_there_is_product_code_to_look_at() -> None:
    assert len(FILES) > 50


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_file_is_short(path: Path) -> None:
    lines = len(path.read_text("utf-8").splitlines())
    assert lines <= MOST_LINES, (
        f"{path.relative_to(ROOT)} has {lines} lines, {MOST_LINES} are allowed: "
        "give one of its subjects a module of its own"
    )


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_are_short(path: Path) -> None:
    for node in functions(ast.parse(path.read_text("utf-8"))):
        lines = own_lines(node)
        assert lines <= MOST_FUNCTION_LINES, (
            f"{path.relative_to(ROOT)}:{node.lineno} {node.name} has {lines} lines, "
            f"{MOST_FUNCTION_LINES} are allowed: name its steps"
        )
