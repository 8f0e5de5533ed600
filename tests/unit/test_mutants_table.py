"""The table of mutants fits the product as it stands; `make mutants` runs it."""

import ast
from pathlib import Path

import pytest

from tests.conditions import ROOT
from tests.mutants.mutant import Mutant, StaleMutant, is_test
from tests.mutants.table import MUTANTS


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_a_mutant_changes_one_place_and_still_is_python(mutant: Mutant) -> None:
    changed = mutant.source(ROOT)
    assert changed != (ROOT / mutant.file).read_text("utf-8")
    ast.parse(changed)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_the_tests_that_a_mutant_names_exist(mutant: Mutant) -> None:
    assert mutant.tests
    assert [test for test in mutant.tests if not is_test(ROOT, test)] == []


def test_names_are_unique() -> None:
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("text", ["", "guard", "guard guard"])
def test_a_mutant_that_does_not_fit_exactly_once_is_an_error(text: str, tmp_path: Path) -> None:
    (tmp_path / "product.py").write_text(text)
    mutant = Mutant("m", "p", "product.py", "guard", "", ("t",))
    if text == "guard":
        mutant.apply(tmp_path)
        assert (tmp_path / "product.py").read_text() == ""
    else:
        with pytest.raises(StaleMutant):
            mutant.apply(tmp_path)
