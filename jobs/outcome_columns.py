"""What the Task Manager hands to Postgres of the ends of attempts."""

import json
from collections.abc import Sequence
from typing import Any

from jobs.envelopes import Outcome


def columns(outcomes: Sequence[Outcome]) -> dict[str, list[Any]]:
    """Outcomes as one array for each column, for `unnest`."""
    return {
        "ids": [o.id for o in outcomes],
        "attempts": [o.attempt for o in outcomes],
        "states": [o.state.value for o in outcomes],
        "reasons": [o.finish_reason for o in outcomes],
        "codes": [o.error_code for o in outcomes],
        "messages": [o.error_message for o in outcomes],
        "texts": [o.text for o in outcomes],
        "details": [json.dumps(o.details) if o.details else None for o in outcomes],
        "tokens": [o.completion_tokens for o in outcomes],
        "first_s": [o.first_token_age_s for o in outcomes],
        "retryable": [o.retryable for o in outcomes],
    }
