"""Events that /metrics counts, as their partial index says; the rest are the daily bread."""

NOTABLE = (
    "kind IN ('cancelled', 'expired', 'failed') "
    "OR reason IN ('worker_died_alone', 'worker_died_with_others', 'lease_lost')"
)
