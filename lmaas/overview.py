"""What a client sees of the system as a whole, and the pause of a model."""

from typing import TypeVar
from urllib.parse import quote

from lmaas import reading
from lmaas.answers import Component, Model, Queue, Worker
from lmaas.transport import Transport

T = TypeVar("T")


class Overview:
    """The part of `lmaas.Client` that speaks of no job."""

    _transport: Transport

    def models(self) -> list[Model]:
        """The model versions that jobs can name."""
        return self._list("models", reading.read_model)

    def workers(self) -> list[Worker]:
        """The workers that live now."""
        return self._list("workers", reading.read_worker)

    def queues(self) -> list[Queue]:
        """What waits and runs for each model version."""
        return self._list("queues", reading.read_queue)

    def components(self) -> list[Component]:
        """The parts of the server that are no workers, and when each was last seen."""
        return self._list("components", reading.read_component)

    def pause(self, model: str, reason: str = "") -> Model:
        """Stops a model version (a name means its newest): running jobs finish,
        no other starts until `resume`. Needs a key with the scope `admin`."""
        body = {"reason": reason}
        path = f"/v1/models/{quote(model, safe='@')}/pause"
        return reading.read_model(self._transport.request("POST", path, body=body))

    def resume(self, model: str) -> Model:
        """Lets the jobs of a paused model version start again."""
        path = f"/v1/models/{quote(model, safe='@')}/resume"
        return reading.read_model(self._transport.request("POST", path))

    def _list(self, what: str, read: reading.Read[T]) -> list[T]:
        return reading.read_list(self._transport.request("GET", f"/v1/{what}"), read)
