"""The fault matrix: which test proves which row.

Rows are named as the reliability page names them: fault, then when.
"""

_DOORS = "tests/chaos/test_doors_killed.py"
_WORKERS = "tests/chaos/test_worker_killed.py"
_MODELS = "tests/chaos/test_models_change.py"
_AWAY = "tests/chaos/test_servers_away.py"
_HOOKS = "tests/chaos/test_webhooks.py"
_WIRE = "tests/integration/test_safe_connection.py"
_ECHO = "tests/acceptance/test_stack_echo.py"
_FILES = "tests/chaos/test_files_cut_short.py"
_STORE = "tests/integration/test_model_store_faults.py"

MATRIX: dict[tuple[str, str], tuple[str, ...]] = {
    ("web SIGKILL", "around COMMIT"): (
        f"{_DOORS}::test_a_web_process_killed_around_commit_loses_and_doubles_no_job",
        f"{_FILES}::test_a_front_door_that_dies_leaves_a_whole_file_or_none",
    ),
    ("dispatcher SIGKILL, two running", "between publish and mark"): (
        f"{_DOORS}::test_dispatchers_killed_between_release_commit_and_ring_strand_no_job",
        f"{_DOORS}::test_two_dispatchers_and_two_workers_run_every_job_once",
    ),
    (
        "worker SIGKILL",
        "idle in BRPOP, after receive, after claim, mid-decode, before and after COMMIT",
    ): (
        f"{_WORKERS}::test_a_worker_killed_while_it_waits_for_bells_takes_none_along",
        f"{_WORKERS}::test_workers_killed_at_exact_lines",
        f"{_WORKERS}::test_every_job_of_a_killed_child_ends_once_long_before_its_lease",
        f"{_WORKERS}::test_a_killed_parent_takes_its_child_along_and_jobs_are_not_charged",
    ),
    ("worker SIGSTOP longer than its lease, then SIGCONT", "mid-decode, at completion"): (
        f"{_WORKERS}::test_workers_that_slept_longer_than_their_lease_write_nothing",
    ),
    ("SIGTERM rolling, under load", "any"): (
        (
            "tests/acceptance/test_rolling_restart.py::"
            "test_a_rolling_restart_of_everything_under_load_loses_fails_and_charges_nothing"
        ),
        f"{_WORKERS}::test_a_drain_finishes_what_it_can_and_gives_the_rest_back_uncharged",
    ),
    ("Redis kill -9, back empty; FLUSHALL", "idle, in flight, backlog"): (
        (
            f"{_AWAY}::test_hundreds_of_submits_without_redis_are_accepted_and_run_"
            "and_it_comes_back_empty"
        ),
        f"{_AWAY}::test_a_flushed_redis_idle_in_flight_and_with_a_backlog",
    ),
    ("Redis frozen, black-holed, reset, CLIENT KILL", "load"): (
        f"{_AWAY}::test_with_a_redis_that_is_there_and_of_no_use_jobs_are_accepted_and_run",
        f"{_AWAY}::test_connections_to_redis_are_killed_again_and_again_under_load",
        f"{_AWAY}::test_after_all_that_bells_are_heard_again",
    ),
    ("Redis down for minutes", "hundreds of submits"): (
        (
            f"{_AWAY}::test_hundreds_of_submits_without_redis_are_accepted_and_run_"
            "and_it_comes_back_empty"
        ),
        f"{_AWAY}::test_a_process_starts_serves_and_leaves_within_its_bound_without_redis",
    ),
    ("Postgres restarts every few seconds", "all phases"): (
        f"{_AWAY}::test_a_postgres_that_restarts_in_every_phase_of_many_jobs_loses_none",
        (
            f"{_AWAY}::test_without_postgres_nothing_is_accepted_and_what_was_accepted_"
            "is_finished_later"
        ),
        f"{_AWAY}::test_a_read_only_postgres_is_as_good_as_none",
        (
            "tests/integration/test_durability.py::"
            "test_what_was_accepted_is_there_after_postgres_was_killed"
        ),
    ),
    ("Postgres black-holed for one worker", "mid-decode"): (
        f"{_WORKERS}::test_a_worker_whose_postgres_is_a_black_hole_fences_itself",
    ),
    ("one prompt that kills its worker, in a batch of 8", "decode"): (
        "tests/chaos/test_poison.py::test_the_poison_is_a_dead_letter_and_its_neighbours_succeed",
    ),
    ("out of memory, engine hang", "any"): (
        f"{_WORKERS}::test_an_engine_that_hangs_or_breaks_ends_its_process_and_no_job",
        f"{_WORKERS}::test_an_engine_without_memory_ends_its_process_and_no_job",
    ),
    ("deploy, delete, corrupt shard", "queued, running"): (
        f"{_MODELS}::test_what_is_queued_and_running_is_not_moved_by_a_new_version",
        f"{_MODELS}::test_a_damaged_version_is_named_and_its_jobs_wait_until_it_is_whole",
        f"{_MODELS}::test_a_deleted_version_fails_what_waits_and_ends_what_runs",
    ),
    ("disk full", "upload, batch output"): (
        f"{_FILES}::test_a_full_disk_takes_no_part_of_a_file",
        f"{_STORE}::test_a_full_disk_leaves_nothing",
        (
            "tests/integration/test_batches.py::"
            "test_a_full_disk_leaves_no_half_of_an_output_and_the_files_come_later"
        ),
    ),
    ("worker SIGKILL", "a client follows results and events of a batch"): (
        (
            "tests/acceptance/test_live_batches.py::"
            "test_results_and_events_are_each_told_once_though_workers_are_killed"
        ),
    ),
    ("a line is committed after a later one", "a client follows events"): (
        (
            "tests/integration/test_live_batches.py::"
            "test_a_line_that_is_committed_late_is_not_passed_over"
        ),
    ),
    ("dirty 50,000-line batch and kills", "any"): (
        (
            "tests/acceptance/test_batches.py::"
            "test_a_dirty_batch_survives_kills_of_its_housekeepers_between_any_two_lines"
        ),
    ),
    ("slow, redirecting, rebinding webhook", "many"): (
        f"{_HOOKS}::test_a_housekeeper_killed_between_send_and_mark_tells_every_end_under_one_id",
        f"{_HOOKS}::test_slow_redirecting_and_rebinding_receivers_delay_and_deceive_nobody",
        f"{_WIRE}::test_a_redirect_is_a_failure_that_names_the_rule",
        f"{_WIRE}::test_a_name_that_changes_after_the_check_leads_nowhere_else",
        f"{_WIRE}::test_a_name_with_any_address_that_is_not_allowed_is_refused",
        f"{_WIRE}::test_an_answer_that_drips_ends_at_the_deadline",
        ("tests/integration/test_webhook_delivery.py::test_a_slow_receiver_delays_itself_alone"),
    ),
    ("forged or garbage Redis message", "any"): (
        f"{_ECHO}::test_garbage_in_the_bell_queue_is_a_no_op",
        f"{_ECHO}::test_forged_bells_are_no_ops",
        f"{_ECHO}::test_garbage_among_the_hints_is_a_no_op",
    ),
    ("cancel against complete", "thousands"): (
        (
            "tests/integration/test_cancel_against_finish.py::"
            "test_an_acknowledged_cancel_never_becomes_a_success"
        ),
    ),
}
