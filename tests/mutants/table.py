"""The protections of the promise, and the test that each of them is held by."""

from tests.mutants.batches import BATCHES, LIVE_BATCHES
from tests.mutants.contents import CONTENT, MODELS
from tests.mutants.execution import BELLS, FENCES, RECOVERY, TURNS
from tests.mutants.front_door import FRONT_DOOR
from tests.mutants.tenants import TENANTS
from tests.mutants.webhooks import WEBHOOKS

MUTANTS = (
    TURNS + FENCES + RECOVERY + FRONT_DOOR + BELLS
    + CONTENT + MODELS + WEBHOOKS + BATCHES + LIVE_BATCHES + TENANTS
)  # fmt: skip
