"""The protections of the promise, and the test that each of them is held by."""

from tests.mutants.mutant import Mutant
from tests.mutants.tenants import TENANTS

_TASK_MANAGER = "tests/integration/test_task_manager.py"
_RACES = "tests/integration/test_task_manager_races.py"
_CANCELS = "tests/integration/test_cancel_against_finish.py"
_POISON = "tests/integration/test_poison.py"
_LEASES = "tests/integration/test_leases.py"
_GUARD = "tests/integration/test_task_manager_guard.py"
_SCOPES = "tests/integration/test_api_keys_and_scopes.py"
_KEYS = "tests/integration/test_keys.py"
_HANDLER = "tests/integration/test_job_handler.py"
_LOOPS = "tests/integration/test_dispatcher_loops.py"
_TIMES = "tests/integration/test_times_and_retries.py"
_FAIR = "tests/integration/test_fair_release.py"
_DURABLE = "tests/integration/test_durability.py"
_LIVE = "tests/integration/test_live_batches.py"
_ECHO = "tests/acceptance/test_stack_echo.py"
_AWAY = "tests/chaos/test_servers_away.py"
_KILLED = "tests/chaos/test_worker_killed.py"
_ROLLING = "tests/acceptance/test_rolling_restart.py"
_FILES = "tests/integration/test_files_catalog.py"
_API_FILES = "tests/integration/test_api_files.py"
_ERASURE = "tests/integration/test_erasure.py"

_WIRE = "tests/integration/test_safe_connection.py"
_OUTBOX = "tests/integration/test_webhook_outbox.py"
_HOOKS = "tests/integration/test_webhook_delivery.py"

_BATCHES = "tests/integration/test_batches.py"

_STATEMENTS = "jobs/statements.py"
_WORKER_STATEMENTS = "jobs/worker_statements.py"

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

FRONT_DOOR = (
    Mutant(
        "durable-accept", "a 202 is on disk before it is answered",
        "api/services.py",
        'application="lmaas-web", connections=12)',
        'application="lmaas-web", connections=12, durable=False)',
        (f"{_DURABLE}::test_what_was_accepted_is_there_after_postgres_was_killed",),
    ),
    Mutant(
        "durable-finish", "a result is on disk before anybody is told of it",
        "workers/worker.py",
        'application="lmaas-worker", connections=4)',
        'application="lmaas-worker", connections=4, durable=False)',
        (f"{_DURABLE}::test_what_was_finished_is_there_after_postgres_was_killed",),
    ),
    Mutant(
        "accept-after-commit", "without Postgres a submit is 503, never 202",
        "api/routes/jobs_routes.py",
        "        accepted = services.task_manager.submit(new, key)\n",
        "        try:\n"
        "            accepted = services.task_manager.submit(new, key)\n"
        "        except Exception:\n"
        "            accepted = Accepted(new.id, datetime.now(UTC))\n",
        (f"{_AWAY}::test_without_postgres_nothing_is_accepted_and_what_was_accepted_is_finished_later",),
    ),
    Mutant(
        "idempotency-key", "one job for each Idempotency-Key",
        "jobs/task_manager.py",
        "        if idempotency is None:\n", "        if idempotency is None or values:\n",
        (f"{_RACES}::test_one_idempotency_key_makes_one_job_under_eight_threads",),
    ),
    Mutant(
        "idempotency-body", "a known Idempotency-Key with another body is refused",
        "jobs/task_manager.py",
        "if bytes(known.body_sha256) != idempotency.body_sha256:", "if not known.body_sha256:",
        (f"{_RACES}::test_a_key_with_another_body_is_refused_and_adds_nothing",),
    ),
    Mutant(
        "tenant-lookup", "a job is looked up within its tenant",
        "jobs/job_views.py",
        "return view if view is not None and view.tenant_id == tenant_id else None",
        "return view",
        (f"{_SCOPES}::test_the_jobs_of_another_tenant_do_not_exist",),
    ),
    Mutant(
        "tenant-list", "a list holds the jobs of its tenant only",
        "jobs/job_views.py",
        "SELECT id FROM jobs WHERE tenant_id = :tenant_id\n", "SELECT id FROM jobs WHERE true\n",
        (f"{_TASK_MANAGER}::test_another_tenant_sees_and_changes_nothing",),
    ),
    Mutant(
        "tenant-cancel", "nobody cancels a job of another tenant",
        _STATEMENTS,
        "WHERE id = :id AND tenant_id = :tenant_id AND state IN ('queued', 'running')",
        "WHERE id = :id AND state IN ('queued', 'running')",
        (f"{_SCOPES}::test_a_foreign_cancel_leaves_no_trace",),
    ),
    Mutant(
        "tenant-replay", "nobody replays a job of another tenant",
        _STATEMENTS,
        "WHERE j.id = :old_id AND j.tenant_id = :tenant_id", "WHERE j.id = :old_id",
        ("tests/integration/test_replays.py::test_nobody_replays_a_job_of_another_tenant",),
    ),
    Mutant(
        "key-wanted", "nothing but /health/* answers without a key",
        "api/auth.py",
        "if not request.path.startswith(_OPEN):", 'if request.path.startswith("/v1/keys"):',
        (f"{_SCOPES}::test_every_operation_but_health_wants_a_key",),
    ),
    Mutant(
        "key-hash", "of a key only its hash is stored",
        "jobs/keys.py",
        'return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).digest()',
        'return hashlib.sha256(b"").digest() + secret.encode("utf-8", "surrogatepass")',
        (f"{_KEYS}::test_the_key_itself_is_stored_nowhere",),
    ),
    Mutant(
        "key-revoked", "a revoked key opens nothing",
        "jobs/keys.py",
        "WHERE sha256 = :sha256 AND revoked_at IS NULL", "WHERE sha256 = :sha256",
        (f"{_KEYS}::test_a_revoked_key_is_over_and_stays_listed",),
    ),
    Mutant(
        "key-scope", "a key opens what its scopes say",
        "api/auth.py",
        "if not asking.may(scope):",
        "if not asking.scopes:",
        (f"{_SCOPES}::test_a_key_without_the_scope_is_403",),
    ),
)  # fmt: skip

BELLS = (
    Mutant(
        "early-ack", "bells are acknowledged before they run",
        "bells/celery_app.py", "task_acks_late=False", "task_acks_late=True",
        (f"{_ECHO}::test_a_running_job_leaves_nothing_in_the_broker",),
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

WEBHOOKS = (
    Mutant(
        "redirect", "a webhook follows no redirect, and does not count one as delivered",
        "dispatcher/safe_connection.py",
        "_DELIVERED = range(200, 300)", "_DELIVERED = range(200, 400)",
        (f"{_WIRE}::test_a_redirect_is_a_failure_that_names_the_rule",),
    ),
    Mutant(
        "address", "a name with an address that is not public is refused",
        "dispatcher/safe_connection.py",
        "if not all(_is_allowed(", "if not any(_is_allowed(",
        (f"{_WIRE}::test_a_name_with_any_address_that_is_not_allowed_is_refused",),
    ),
    Mutant(
        "rebinding", "a webhook goes to the address that was checked",
        "dispatcher/safe_connection.py",
        "wire.connect((address, target.port))",
        "wire.connect((door.resolve(target.host, target.port)[0], target.port))",
        (f"{_WIRE}::test_a_name_that_changes_after_the_check_leads_nowhere_else",),
    ),
    Mutant(
        "drip", "one deadline holds for a whole attempt, however slowly its bytes come",
        "dispatcher/safe_connection.py",
        "        self._wire.settimeout(self._deadline.left())\n"
        "        return self._wire.recv_into(buffer)",
        "        return self._wire.recv_into(buffer)",
        (f"{_WIRE}::test_an_answer_that_drips_ends_at_the_deadline",),
    ),
    Mutant(
        "told", "the statement that ends a job writes down what is to be told",
        _WORKER_STATEMENTS,
        '{announced_jobs("won")}', '{announced_jobs("won")} AND false',
        (f"{_OUTBOX}::test_every_way_to_end_is_told_once",),
    ),
    Mutant(
        "delivery-lease", "what came of an attempt is written through its lease",
        "jobs/webhooks/statements.py",
        "WHERE id = :id AND lease = :lease AND state = 'pending' FOR UPDATE",
        "WHERE id = :id AND :lease IS NOT NULL AND state = 'pending' FOR UPDATE",
        (f"{_OUTBOX}::test_of_a_process_that_died_the_rows_come_back_and_its_late_mark_is_refused",),
    ),
    Mutant(
        "lane", "a slow receiver holds its few threads and no others",
        "jobs/webhooks/outbox.py", "PER_LANE, PER_TENANT = 8, 16", "PER_LANE, PER_TENANT = 64, 64",
        (f"{_HOOKS}::test_a_slow_receiver_delays_itself_alone",),
    ),
)  # fmt: skip

CONTENT = (
    Mutant(
        "file-tenant", "a file is found by its tenant alone",
        "files_store/catalog.py",
        "AS is_live FROM files WHERE id = :id AND tenant_id = :tenant_id",
        "AS is_live FROM files WHERE id = :id",
        (f"{_API_FILES}::test_somebody_elses_file_is_as_good_as_none",),
    ),
    Mutant(
        "file-adopted", "a row is written only over bytes that are not about to be swept",
        "files_store/loose.py",
        'if connection.execute(_ADOPT, {"id": content_id}).first() is None:',
        'if connection.execute(_ADOPT, {"id": content_id}) is None:',
        (f"{_FILES}::test_bytes_that_were_swept_meanwhile_become_no_file[memory]",),
    ),
    Mutant(
        "file-kept", "bytes that a row speaks for are not deleted when its writer failed after all",
        "files_store/loose.py",
        "UPDATE loose_contents SET doomed = true WHERE id = :id RETURNING id, tenant_id",
        "INSERT INTO loose_contents (id, tenant_id, doomed) "
        "SELECT :id, tenant_id, true FROM files WHERE content_id = :id "
        "ON CONFLICT (id) DO UPDATE SET doomed = true RETURNING id, tenant_id",
        (f"{_FILES}::test_a_row_that_was_committed_without_our_knowing_keeps_its_bytes",),
    ),
    Mutant(
        "erase-tenant", "a job is erased by its own tenant alone",
        "jobs/erasure.py",
        "SELECT id FROM jobs WHERE id = :id AND tenant_id = :tenant_id",
        "SELECT id FROM jobs WHERE id = :id",
        (f"{_ERASURE}::test_somebody_elses_job_is_not_erased",),
    ),
    Mutant(
        "erase-result", "what came out of an erased job is deleted",
        "jobs/erasure.py",
        "DELETE FROM job_results r USING erased WHERE r.job_id = erased.id",
        "SELECT 1",
        (f"{_ERASURE}::test_what_was_erased_is_in_no_table_and_the_ledger_stays",),
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

MUTANTS = (
    TURNS + FENCES + RECOVERY + FRONT_DOOR + BELLS
    + CONTENT + WEBHOOKS + BATCHES + LIVE_BATCHES + TENANTS
)  # fmt: skip
