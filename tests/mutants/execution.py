"""What holds one run of a job for each job: fences, recovery, bells, turns."""

from tests.mutants.mutant import Mutant

_TASK_MANAGER = "tests/integration/test_task_manager.py"
_RACES = "tests/integration/test_task_manager_races.py"
_CANCELS = "tests/integration/test_cancel_against_finish.py"
_POISON = "tests/integration/test_poison.py"
_LEASES = "tests/integration/test_leases.py"
_GUARD = "tests/integration/test_task_manager_guard.py"
_HANDLER = "tests/integration/test_job_handler.py"
_LOOPS = "tests/integration/test_dispatcher_loops.py"
_TIMES = "tests/integration/test_times_and_retries.py"
_FAIR = "tests/integration/test_fair_release.py"
_ECHO = "tests/acceptance/test_stack_echo.py"
_AWAY = "tests/chaos/test_servers_away.py"
_KILLED = "tests/chaos/test_worker_killed.py"
_ROLLING = "tests/acceptance/test_rolling_restart.py"
_WORKER_STATEMENTS = "jobs/worker_statements.py"

TURNS = (
    Mutant(
        "no-credit", "a flow that had nothing waiting cannot save up its share",
        "jobs/shares/fair_share.py",
        "start = max(virtual, job.floor)", "start = virtual",
        ("tests/unit/test_fair_share.py::test_who_was_away_gets_no_credit_for_it",),
    ),
    Mutant(
        "weights", "tenants share a busy model by weight",
        "jobs/shares/fair_share.py",
        "return self.tenant_weight * CLASS_WEIGHT[self.priority]",
        "return CLASS_WEIGHT[self.priority]",
        (f"{_FAIR}::test_a_tenant_of_three_times_the_weight_gets_three_times_the_tokens",),
    ),
    Mutant(
        "settled", "a flow is charged for what its jobs used, not for what they asked",
        "jobs/shares/statements.py",
        "virtual = s.virtual - o.back", "virtual = s.virtual",
        (f"{_FAIR}::test_the_end_of_a_job_settles_what_its_flow_was_charged",),
    ),
    Mutant(
        "paused", "nothing of a paused model is claimed",
        _WORKER_STATEMENTS,
        "    AND NOT EXISTS (SELECT FROM paused_models "
        "WHERE model = :model AND version = :version)\n",
        "",
        ("tests/integration/test_pause.py::test_running_jobs_finish_and_no_other_starts_until_resume",),
    ),
)  # fmt: skip

FENCES = (
    Mutant(
        "fence-attempt", "a result counts only for the attempt that is running",
        _WORKER_STATEMENTS,
        "WHERE j.id = h.id AND j.id = i.id AND j.attempt = i.attempt",
        "WHERE j.id = h.id AND j.id = i.id",
        (f"{_TASK_MANAGER}::test_finish_is_fenced[attempt]",),
    ),
    Mutant(
        "fence-worker", "a result counts only from the worker that holds the job",
        _WORKER_STATEMENTS,
        "AND j.attempt = i.attempt\n    AND j.worker_id = :worker_id AND j.state = 'running'",
        "AND j.attempt = i.attempt\n    AND j.state = 'running'",
        (f"{_TASK_MANAGER}::test_finish_is_fenced[worker]",),
    ),
    Mutant(
        "cancel-flag", "a success whose cancel was acknowledged is `cancelled`",
        _WORKER_STATEMENTS,
        "CASE WHEN j.cancel_requested AND (i.state = 'succeeded' OR i.retryable) THEN 'cancelled'"
        "\n         WHEN",
        "CASE WHEN",
        (
            f"{_CANCELS}::test_an_acknowledged_cancel_never_becomes_a_success",
            f"{_RACES}::test_a_success_whose_cancel_was_asked_for_is_cancelled_with_its_text",
        ),
    ),
    Mutant(
        "cancel-lock", "the cancel flag is read under the row's lock",
        _WORKER_STATEMENTS,
        "FROM jobs j JOIN incoming i ON j.id = i.id ORDER BY j.id FOR UPDATE OF j",
        "FROM jobs j JOIN incoming i ON j.id = i.id ORDER BY j.id",
        (f"{_CANCELS}::test_an_acknowledged_cancel_never_becomes_a_success",),
    ),
    Mutant(
        "stale-counted", "a stale write is counted",
        "workers/result_writer.py", "self.stale_writes += 1", "pass",
        (f"{_HANDLER}::test_a_result_that_comes_too_late_is_discarded_and_counted",),
    ),
    Mutant(
        "claim-lease", "a worker without a live lease claims nothing",
        _WORKER_STATEMENTS,
        "AND EXISTS (SELECT FROM workers WHERE id = :worker_id AND ended_at IS NULL\n"
        "                AND lease_until > clock_timestamp())",
        "AND :worker_id IS NOT NULL",
        (f"{_TASK_MANAGER}::test_a_worker_without_a_live_lease_claims_nothing",),
    ),
    Mutant(
        "claim-once", "a claim locks its rows, and passes by what others have locked",
        _WORKER_STATEMENTS,
        "ORDER BY turn LIMIT :free FOR UPDATE SKIP LOCKED",
        "ORDER BY turn LIMIT :free",
        (f"{_RACES}::test_eight_workers_claim_every_job_exactly_once",),
    ),
    Mutant(
        "claim-expired", "an expired job never touches the engine",
        _WORKER_STATEMENTS,
        "AND (expires_at IS NULL OR expires_at > clock_timestamp())\n    AND EXISTS",
        "AND EXISTS",
        (f"{_TIMES}::test_a_job_that_waited_too_long_expires_and_never_touches_an_engine",),
    ),
    Mutant(
        "guard-trigger", "Postgres refuses any change of a finished job",
        "migrations/versions/0002_terminal_rows_never_change.py",
        "    op.execute(TRIGGER)\n", "",
        (
            f"{_GUARD}::test_the_outcome_of_a_finished_job_never_changes",
            f"{_GUARD}::test_a_change_of_state_is_possible_exactly_if_the_table_has_it",
        ),
    ),
    Mutant(
        "one-result", "Postgres refuses a second result of one job",
        "migrations/versions/0001_the_first_tables.py",
        'sa.PrimaryKeyConstraint("job_id", name=op.f("pk_job_results")),',
        'sa.PrimaryKeyConstraint("job_id", "attempt", name=op.f("pk_job_results")),',
        (f"{_TASK_MANAGER}::test_a_second_result_row_for_one_job_is_impossible",),
    ),
)  # fmt: skip

RECOVERY = (
    Mutant(
        "reaper-loop", "the dispatcher process takes jobs back from dead workers",
        "dispatcher/__main__.py",
        "lambda: reap(durable, TaskManager(durable))", "lambda: None",
        (f"{_LOOPS}::test_a_job_whose_worker_is_gone_waits_again",),
    ),
    Mutant(
        "reclaim", "the reaper takes the jobs of an ended lease",
        "dispatcher/reaper.py",
        "reclaimed = task_manager.reclaim()", "reclaimed: dict[object, State] = {}",
        (f"{_LEASES}::test_a_lost_job_waits_again_and_only_a_death_is_charged",),
    ),
    Mutant(
        "lost-hint", "the dispatcher ticks without a hint, too",
        "dispatcher/__main__.py",
        "DispatcherEar(settings, min(settings.tick_s, _LONGEST_WAIT_S))",
        "DispatcherEar(settings, 3_600.0)",
        (f"{_LOOPS}::test_a_job_whose_hint_was_lost_is_released",),
    ),
    Mutant(
        "lost-bell", "a worker looks for released jobs by itself",
        "workers/job_handler.py",
        "self._room.wait(timeout=_LOOK_EVERY_S)", "self._room.wait()",
        (f"{_HANDLER}::test_a_cancelled_job_ends_with_the_beginning_of_its_text",),
    ),
    Mutant(
        "drain", "a drain gives its jobs back by itself, before its lease ends",
        "workers/worker.py",
        "returned = self._task_manager.give_back(worker_id, [held.job.id for held in rest])",
        "returned = list(rest)",
        (
            f"{_ROLLING}::test_a_rolling_restart_of_everything_under_load_loses_fails_and_charges_nothing",
        ),
    ),
    Mutant(
        "self-fence", "a worker that cannot renew its lease lets its jobs go before it ends",
        "workers/lease_keeper.py",
        "self._renewed_at + self._lease_s * 0.75", "self._renewed_at + self._lease_s * 1e9",
        (f"{_KILLED}::test_a_worker_whose_postgres_is_a_black_hole_fences_itself",),
    ),
    Mutant(
        "hung-engine", "a lease is renewed only while the engine moves",
        "workers/worker.py",
        "return self._server.seconds_in_step() < self._settings.step_s", "return True",
        (f"{_KILLED}::test_an_engine_that_hangs_or_breaks_ends_its_process_and_no_job",),
    ),
    Mutant(
        "parent-ends-lease", "a dead worker's jobs do not wait for its lease to run out",
        "workers/__main__.py",
        "            self._record_end(process_id, code)\n", "",
        (f"{_KILLED}::test_every_job_of_a_killed_child_ends_once_long_before_its_lease",),
    ),
    Mutant(
        "cancel-obeyed", "a cancelled job leaves the running batch",
        "workers/fence_watcher.py",
        "elif row.cancel_requested:", "elif row.cancel_requested and row.overdue:",
        (f"{_ECHO}::test_a_cancelled_job_frees_its_slot_at_once_and_keeps_its_beginning",),
    ),
    Mutant(
        "alone", "a crash is charged only to a job that was alone in the engine",
        _WORKER_STATEMENTS,
        "crashes = crashes + CASE WHEN v.died AND v.together = 1 THEN 1 ELSE 0 END",
        "crashes = crashes + CASE WHEN v.died THEN 1 ELSE 0 END",
        (f"{_POISON}::test_neighbours_of_a_crash_are_not_charged",),
    ),
    Mutant(
        "halves", "the suspects of a crash run among themselves, in halves",
        _WORKER_STATEMENTS,
        "suspect_group = CASE WHEN v.died THEN v.suspect_group ELSE j.suspect_group END",
        "suspect_group = NULL",
        (
            f"{_POISON}::test_of_eight_in_a_batch_one_kills_its_worker_and_seven_succeed",
            f"{_POISON}::test_suspects_run_among_themselves_only",
        ),
    ),
    Mutant(
        "lease-lost-is-no-crash", "a lease that only ran out charges nobody",
        "jobs/leases.py",
        "UPDATE workers SET ended_at = clock_timestamp(), state = 'ended'\n"
        "WHERE ended_at IS NULL AND lease_until < clock_timestamp() RETURNING id",
        "UPDATE workers SET ended_at = clock_timestamp(), state = 'ended', died = true\n"
        "WHERE ended_at IS NULL AND lease_until < clock_timestamp() RETURNING id",
        (f"{_LEASES}::test_a_lost_job_waits_again_and_only_a_death_is_charged",),
    ),
)  # fmt: skip

BELLS = (
    Mutant(
        "no-second-ring", "a bell that was heard is kept nowhere, to be rung again",
        "bells/celery_app.py", '"ack_emulation": False', '"ack_emulation": True',
        (f"{_ECHO}::test_a_bell_that_was_heard_is_kept_nowhere",),
    ),
    Mutant(
        "json-only", "no pickle is opened that came over Redis",
        "bells/celery_app.py", 'accept_content=["json"]', 'accept_content=["json", "pickle"]',
        (f"{_ECHO}::test_forged_bells_are_no_ops",),
    ),
    Mutant(
        "garbage-bell", "garbage in a bell queue ends no worker",
        "bells/transport.py", "raise Empty from None", "raise",
        (f"{_ECHO}::test_garbage_in_the_bell_queue_is_a_no_op",),
    ),
    Mutant(
        "garbage-hint", "garbage among the hints ends nothing",
        "bells/hints.py", "        except ValueError:\n            continue",
        "        except ZeroDivisionError:\n            continue",
        (f"{_ECHO}::test_garbage_among_the_hints_is_a_no_op",),
    ),
    Mutant(
        "hint-timeout", "a frozen Redis costs a request 0.1 s",
        "bells/connections.py",
        "        socket_timeout=0.1,\n        socket_connect_timeout=0.1,\n", "",
        (f"{_AWAY}::test_with_a_redis_that_is_there_and_of_no_use_jobs_are_accepted_and_run",),
    ),
    Mutant(
        "breaker", "after a failure Redis is left alone for a second",
        "bells/connections.py",
        "        if self.is_open:\n            return None\n", "",
        ("tests/unit/test_breaker.py::test_after_a_failure_calls_are_skipped_for_a_while",),
    ),
)  # fmt: skip
