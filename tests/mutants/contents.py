"""Files, erased content, deleted model versions."""

from tests.mutants.mutant import Mutant

_FILES = "tests/integration/test_files_catalog.py"
_API_FILES = "tests/integration/test_api_files.py"
_ERASURE = "tests/integration/test_erasure.py"
_DELETION = "tests/integration/test_model_deletion.py"

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

MODELS = (
    Mutant(
        "deletion-late", "files of a deleted version stay for submits that are on their way",
        "dispatcher/deleted_models.py",
        "now - version.deleted_at < _LATE_SUBMITS", "now < version.deleted_at",
        (f"{_DELETION}::test_files_stay_while_a_job_runs_and_a_minute_for_submits_that_were_on_their_way",),
    ),
    Mutant(
        "deletion-running", "files of a deleted version stay for the jobs that run on it",
        "dispatcher/deleted_models.py",
        "if deletions.open_jobs(connection, version.name, version.version):", "if False:",
        (f"{_DELETION}::test_files_stay_while_a_job_runs_and_a_minute_for_submits_that_were_on_their_way",),
    ),
)  # fmt: skip
