"""`python -m tests.mutants [NAME ...]`: is every protection held by a test?

Each mutant takes one protection out of a throw-away copy of the checkout; the
test that is named for it must fail then, because of what it asserts and not
because the code no longer runs. Ends with 1 if a mutant survived.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.conditions import ROOT
from tests.mutants.mutant import Mutant
from tests.mutants.table import MUTANTS

# A mutant that cannot run proves nothing about the test that fails on it.
_BROKEN = ("ImportError", "ModuleNotFoundError", "SyntaxError", "IndentationError", "NameError",
           "ProgrammingError", "UndefinedColumn", "IndeterminateDatatype")  # fmt: skip
_LIMIT_S = 300


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run of tests said: `why` is the first line of the first failure."""

    failed: bool
    why: str
    seconds: float
    broken: bool = False


class Laboratory:
    """Copies of the checkout, and servers that all runs share."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment

    def run(self, mutant: Mutant | None, tests: Sequence[str]) -> Verdict:
        """Runs tests on a fresh copy, with the mutant's protection taken out."""
        copy = self._folder / (mutant.name if mutant else "unmutated")
        copy_checkout(copy)
        if mutant is not None:
            mutant.apply(copy)
        report = self._folder / f"{copy.name}.xml"
        began = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-x", f"--junitxml={report}", *tests],
            cwd=copy, env=self._environment, check=False, timeout=_LIMIT_S * 4,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        shutil.rmtree(copy, ignore_errors=True)
        seconds = time.monotonic() - began
        if not report.exists():
            return Verdict(True, done.stdout.decode()[-300:], seconds, broken=True)
        return read_report(report, seconds)


def copy_checkout(to: Path) -> None:
    """Every file that is tracked, or new and not ignored, as it stands now."""
    listed = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, cwd=ROOT, check=True, capture_output=True).stdout
    for name in names.decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)
    to.chmod(0o755)


def read_report(path: Path, seconds: float) -> Verdict:
    """The first thing that went wrong. An error outside of a test's own call
    counts only if it is an assertion of what must be true afterwards."""
    cases = list(ET.parse(path).getroot().iter("testcase"))
    for case in cases:
        for kind in ("failure", "error"):
            found = case.find(kind)
            if found is None:
                continue
            why = (found.get("message") or "").strip().splitlines()[0][:160]
            after = 'failed on teardown with "' in why and "ssert" in why
            broken = any(word in why for word in _BROKEN) or (kind == "error" and not after)
            return Verdict(True, f"{case.get('name')}: {why}", seconds, broken)
    return Verdict(False, f"{len(cases)} passed", seconds, broken=not cases)


def main() -> int:
    """Runs the named mutants, or all; prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="mutants by name; all if none is given")
    names = parser.parse_args().names
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    if not chosen:
        parser.error(f"known mutants: {', '.join(mutant.name for mutant in MUTANTS)}")
    with ExitStack() as stack:
        laboratory = open_laboratory(stack)
        return judge(laboratory, chosen)


def open_laboratory(stack: ExitStack) -> Laboratory:
    """Servers and a folder; they are gone when the stack closes."""
    name = stack.enter_context(
        tempfile.TemporaryDirectory(prefix="lmaas-mutants-", ignore_cleanup_errors=True)
    )
    folder = Path(name)
    folder.chmod(0o755)
    postgres = EmbeddedPostgres(folder / "postgres", fsync=False)
    stack.callback(postgres.remove)
    valkey = EmbeddedValkey(folder / "valkey", append_only=False)
    stack.callback(valkey.stop)
    environment = os.environ | {
        "DATABASE_URL": postgres.start(),
        "REDIS_URL": valkey.start(),
        # Or Celery refuses to start with the pickle that one mutant lets in.
        "C_FORCE_ROOT": "1",
    }
    return Laboratory(folder, environment)


def judge(laboratory: Laboratory, chosen: Sequence[Mutant]) -> int:
    """All tests on the unmutated copy, then each mutant; 1 if anything is amiss."""
    tests = sorted({test for mutant in chosen for test in mutant.tests})
    sound = laboratory.run(None, tests)
    if sound.failed or sound.broken:
        print(f"the tests do not pass without a mutant: {sound.why}")
        return 1
    print(f"without a mutant: {sound.why} in {sound.seconds:.0f} s", flush=True)
    survivors = 0
    for mutant in chosen:
        verdict = laboratory.run(mutant, mutant.tests)
        killed = verdict.failed and not verdict.broken
        survivors += not killed
        word = "killed" if killed else "BROKEN" if verdict.broken else "SURVIVED"
        print(f"{word:9}{mutant.name:24}{verdict.seconds:6.1f} s  {mutant.protection}\n"
              f"{'':9}{mutant.file}; {verdict.why}", flush=True)  # fmt: skip
    print(f"{len(chosen)} mutants, {len(chosen) - survivors} killed, {survivors} not")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
