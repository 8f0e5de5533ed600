"""Who a worker is: a new id whenever it takes a new lease."""

import os
import socket
from dataclasses import dataclass, field
from uuid import UUID

from jobs.ids import new_id
from jobs.leases import Incarnation


@dataclass(slots=True)
class Identity:
    """One worker process. `worker_id` is None while it has no live lease, and
    then it claims nothing."""

    model: str
    version: int
    device: str
    process_id: UUID = field(default_factory=new_id)
    worker_id: UUID | None = None

    def incarnation(self, slots: int) -> Incarnation:
        """A fresh incarnation to ask a lease for; it is not yet this worker's id."""
        return Incarnation(
            id=new_id(),
            process_id=self.process_id,
            model=self.model,
            version=self.version,
            device=self.device,
            host=socket.gethostname(),
            pid=os.getpid(),
            slots=slots,
        )
