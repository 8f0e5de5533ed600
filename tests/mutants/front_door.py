"""What a client is promised at the door, and what nobody else may see."""

from tests.mutants.mutant import Mutant

_TASK_MANAGER = "tests/integration/test_task_manager.py"
_RACES = "tests/integration/test_task_manager_races.py"
_SCOPES = "tests/integration/test_api_keys_and_scopes.py"
_KEYS = "tests/integration/test_keys.py"
_DURABLE = "tests/integration/test_durability.py"
_AWAY = "tests/chaos/test_servers_away.py"
_CONNECTIONS = "tests/acceptance/test_connections.py"
_STATEMENTS = "jobs/statements.py"

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
        "    accepted = services.task_manager.submit(new, key)\n",
        "    try:\n"
        "        accepted = services.task_manager.submit(new, key)\n"
        "    except Exception:\n"
        "        accepted = Accepted(new.id, datetime.now(UTC))\n",
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
    Mutant(
        "half-heads", "half requests take no thread",
        "api/heads.py",
        "return Head.WHOLE if whole else Head.HALF", "return Head.WHOLE",
        (f"{_CONNECTIONS}::test_more_half_requests_than_there_are_threads_stop_nobody",),
    ),
    Mutant(
        "last-words", "who waits is answered before a web process ends",
        "api/services.py",
        "        self.notifier.let_go()\n", "",
        (f"{_CONNECTIONS}::test_a_web_process_that_stops_answers_everybody_and_lets_go_of_its_port",),
    ),
    Mutant(
        "once-at-stop", "a request that a stopping process refuses is not done as well",
        "api/openai/work.py",
        "        if self._key is None:\n            self._abandon(ids)\n", "        del ids\n",
        (f"{_CONNECTIONS}::test_a_web_process_that_stops_answers_everybody_and_lets_go_of_its_port",),
    ),
    Mutant(
        "cut-body", "a body that is cut off is no job",
        "api/app.py",
        "if self.content_length is not None and len(body) < self.content_length:", "if not body:",
        (f"{_CONNECTIONS}::test_what_is_no_http_is_answered_in_json_and_once",),
    ),
)  # fmt: skip
