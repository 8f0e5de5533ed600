"""Every reason's code has its row in docs/operations.md, for whoever is called at night."""

import re

from tests.conditions import ROOT

SOURCE = (ROOT / "jobs" / "outlook" / "reasons.py").read_text()
TABLE = (ROOT / "docs" / "operations.md").read_text()


def test_every_code_of_a_waiting_job_stands_in_the_page_and_no_other() -> None:
    codes = set(re.findall(r'Reason\(\s*"(\w+)"', SOURCE)) - {"running"}
    page = TABLE.partition("## Why a job waits")[2].partition("\n## ")[0]
    assert len(codes) > 10
    assert set(re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)) == codes
