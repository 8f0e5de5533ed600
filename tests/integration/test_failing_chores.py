"""What the housekeeper says of its chores, as operators read it."""

from sqlalchemy import Engine

from jobs.outlook import components, failing_chores
from jobs.outlook.components import HOUSEKEEPER, FailingChore


def _failing(engine: Engine) -> list[FailingChore]:
    return [one for part in components.read(engine) for one in part.failing]


def test_a_chore_is_told_of_while_it_fails_and_since_when(engine: Engine) -> None:
    failing_chores.record(engine, "files", 0, None)  # works, and nobody was ever seen
    assert components.read(engine) == []
    failing_chores.record(engine, "files", 1, "KeyError")
    [first] = _failing(engine)
    failing_chores.record(engine, "webhooks", 1, "OSError")
    failing_chores.record(engine, "files", 2, "TypeError")
    components.seen(engine, HOUSEKEEPER)
    assert [(one.name, one.times, one.error) for one in _failing(engine)] == [
        ("files", 2, "TypeError"),
        ("webhooks", 1, "OSError"),
    ]
    assert _failing(engine)[0].since == first.since
    failing_chores.record(engine, "files", 0, None)
    assert [one.name for one in _failing(engine)] == ["webhooks"]
