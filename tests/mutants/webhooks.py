"""What is told to whom, and where a URL may lead."""

from tests.mutants.mutant import Mutant

_WIRE = "tests/integration/test_safe_connection.py"
_OUTBOX = "tests/integration/test_webhook_outbox.py"
_HOOKS = "tests/integration/test_webhook_delivery.py"
_WORKER_STATEMENTS = "jobs/worker_statements.py"

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
