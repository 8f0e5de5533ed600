"""Finding the batch that a request speaks of."""

from uuid import UUID

from sqlalchemy import Engine

from jobs.batches import views
from jobs.batches.names import batch_name, unknown_batch
from jobs.batches.views import BatchView


def found(engine: Engine, tenant_id: UUID, id: UUID) -> BatchView:
    """The tenant's batch. Raises `UnknownBatch`, for somebody else's too."""
    view = views.get(engine, tenant_id, id)
    if view is None:
        raise unknown_batch(batch_name(id))
    return view
