"""The protections between tenants that stand beside those of their jobs."""

from tests.mutants.mutant import Mutant

_QUOTAS = "tests/integration/test_quotas.py"
_LIVE = "tests/integration/test_live_batches.py"
_USAGE = "tests/integration/test_usage.py"
_AUDIT = "tests/integration/test_audit.py"
_SCOPES = "tests/integration/test_api_keys_and_scopes.py"

TENANTS = (
    Mutant(
        "quota-lock", "a limit is asked for under the lock of the tenant's row",
        "jobs/quotas/statements.py",
        "FROM tenant_quotas WHERE tenant_id = :tenant_id FOR UPDATE",
        "FROM tenant_quotas WHERE tenant_id = :tenant_id",
        (f"{_QUOTAS}::test_requests_at_once_never_pass_more_than_the_limit",),
    ),
    Mutant(
        "quota-fold", "what is admitted while it is counted stays counted",
        "jobs/quotas/statements.py",
        "admitted_jobs = q.admitted_jobs - s.admitted_jobs", "admitted_jobs = 0",
        (f"{_QUOTAS}::test_what_is_admitted_while_it_is_counted_stays_counted",),
    ),
    Mutant(
        "quota-asked", "OpenAI's routes ask for the limits too",
        "api/openai/work.py",
        "admit(self._services, self._asking, self.jobs)", "pass",
        (f"{_QUOTAS}::test_openais_routes_obey_the_same_limits[/v1/responses-body2]",),
    ),
    Mutant(
        "quota-repeated", "what was accepted under its key is not refused by a limit",
        "api/routes/jobs_routes.py",
        "known = job_requests.recalled(services, asking, key)", "known = None",
        (f"{_QUOTAS}::test_no_limit_refuses_what_was_accepted_before_under_its_key",),
    ),
    Mutant(
        "retention-batch", "results that a batch has yet to write are kept",
        "jobs/erasure.py",
        "'validating', 'in_progress', 'finalizing', 'cancelling'", "'validating'",
        (f"{_LIVE}::test_what_a_running_batch_has_yet_to_tell_is_kept_until_it_ends",),
    ),
    Mutant(
        "usage-ended", "a job that waits again is no usage",
        "jobs/shares/statements.py",
        "CAST(finished_at AT TIME ZONE 'UTC' AS date)", "current_date",
        (f"{_USAGE}::test_a_retry_and_a_job_that_was_given_back_are_no_usage",),
    ),
    Mutant(
        "tenant-usage", "usage is a tenant's own",
        "jobs/usage.py",
        "(CAST(:tenant_id AS uuid) IS NULL OR tenant_id = :tenant_id)", "true",
        (f"{_USAGE}::test_usage_of_other_models_days_and_tenants_is_not_there",),
    ),
    Mutant(
        "tenant-audit", "the audit log is a tenant's own",
        "jobs/audit.py",
        "FROM audit_log WHERE tenant_id = :tenant_id", "FROM audit_log WHERE true",
        (f"{_AUDIT}::test_a_tenant_reads_its_own_log_page_by_page",),
    ),
    Mutant(
        "audit-append-only", "no entry of the audit log is taken out",
        "migrations/versions/0015_tenants.py",
        "BEFORE UPDATE OR DELETE ON audit_log", "BEFORE UPDATE ON audit_log",
        (f"{_AUDIT}::test_postgres_refuses_to_change_the_log",),
    ),
    Mutant(
        "models-write", "an admin of a tenant gives no right over models away",
        "jobs/keys.py",
        "by_admin = Scope.ADMIN.value in self.scopes and scope.value not in _APART_FROM_ADMIN",
        "by_admin = Scope.ADMIN.value in self.scopes",
        (f"{_SCOPES}::test_an_admin_of_a_tenant_cannot_give_rights_over_models",),
    ),
)  # fmt: skip
