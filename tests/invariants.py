"""What must be true of all jobs after any test, with the chaos room's own checker."""

from sqlalchemy import Engine

from tests.chaos.checker import Evidence, check
from tests.chaos.ledger import Ledger, read_ledger, unfinished

__all__ = ["Ledger", "check_all_ended", "check_history", "read_ledger", "unfinished"]


def check_history(engine: Engine) -> Ledger:
    """Every job's story is one that the states allow; it may go on."""
    return _checked(engine, may_go_on=True)


def check_all_ended(engine: Engine) -> Ledger:
    """`check_history`, and every job has ended, exactly once."""
    return _checked(engine, may_go_on=False)


def _checked(engine: Engine, *, may_go_on: bool) -> Ledger:
    ledger = read_ledger(engine)
    found = check(Evidence(ledger)).violations
    broken = [str(one) for one in found if not (may_go_on and one.what == "has not ended")]
    assert not broken, "\n".join(broken)
    return ledger
