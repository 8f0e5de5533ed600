"""Batches and their lines, while they run too."""

from tests.mutants.mutant import Mutant

_LIVE = "tests/integration/test_live_batches.py"
_BATCHES = "tests/integration/test_batches.py"

BATCHES = (
    Mutant(
        "batch-hold", "lines are added only by who holds their batch",
        "jobs/batches/line_statements.py",
        "WHERE {MINE} AND status = :status", "WHERE id = :id AND status = :status",
        (f"{_BATCHES}::test_a_housekeeper_that_lost_its_batch_adds_nothing",),
    ),
    Mutant(
        "batch-read", "a batch is not over while lines of its file are to come",
        "jobs/batches/statements.py",
        "WHERE status = 'in_progress' AND {_READ} AND", "WHERE status = 'in_progress' AND",
        (f"{_BATCHES}::test_jobs_run_while_the_rest_of_the_file_is_read",),
    ),
    Mutant(
        "batch-files", "outputs that are written again are the same files",
        "dispatcher/batch_outputs.py",
        "file_id = derived_id(batch.id, name)", "file_id = new_id()",
        (f"{_BATCHES}::test_files_that_were_written_before_a_kill_are_not_written_again",),
    ),
)  # fmt: skip

LIVE_BATCHES = (
    Mutant(
        "events-horizon", "who follows a batch is told only what nothing can come before",
        "jobs/batches/endings.py",
        "(w.everything OR txid <", "(true OR txid <",
        (f"{_LIVE}::test_a_line_that_is_committed_late_is_not_passed_over",),
    ),
    Mutant(
        "endings-lock", "a line that joins a run waits for its end, or is found by it",
        "migrations/versions/0017_live_batches.py",
        "state IN ('queued', 'running') FOR SHARE;", "state IN ('queued', 'running');",
        (f"{_LIVE}::test_a_line_that_joins_a_run_at_its_very_end_is_told_of",),
    ),
    Mutant(
        "held", "a line that comes into a paused batch is held",
        "jobs/batches/line_statements.py",
        "b.expires_at, b.expires_at, b.paused", "b.expires_at, b.expires_at, false",
        (f"{_LIVE}::test_lines_of_a_paused_batch_come_in_held",),
    ),
    Mutant(
        "held-released", "what was let through and not begun is held too",
        "jobs/batches/line_moves.py",
        "(released_at IS NULL OR suspect_group IS NULL)", "released_at IS NULL",
        (f"{_LIVE}::test_what_was_let_through_and_not_begun_is_held_and_gives_its_charge_back",),
    ),
    Mutant(
        "resumed-anew", "a line in another class has no claim on turns that others took",
        "jobs/batches/line_moves.py",
        "ELSE greatest(j.floor,", "ELSE least(j.floor,",
        (f"{_LIVE}::test_in_another_class_a_line_comes_anew",),
    ),
    Mutant(
        "slow-reader", "a reader that does not read is not given more",
        "api/batch_hub.py",
        "if not one.told and not one.over]", "if not one.over]",
        (f"{_LIVE}::test_a_reader_that_does_not_read_holds_up_nobody_and_is_told_all_later",),
    ),
)  # fmt: skip
