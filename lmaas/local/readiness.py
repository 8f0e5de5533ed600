"""Whether the started processes serve: seen from outside, over HTTP."""

from lmaas.client import Client
from lmaas.errors import RequestRefused, ServerFailed, ServerUnreachable
from lmaas.local import process
from lmaas.local.memory import Memory
from lmaas.local.plans import Options

KEY_REFUSED = "the key is refused"


class Readiness:
    """Looks, never waits long, and says what is still missing."""

    def __init__(self, memory: Memory, options: Options) -> None:
        self._options = options
        self._client = _client(memory)

    def use(self, memory: Memory) -> None:
        """Goes on with another key."""
        self.close()
        self._client = _client(memory)

    def close(self) -> None:
        """Lets go of the connection, which a web server that stops would wait for."""
        self._client.close()

    def look(self) -> str | None:
        """What is missing, in words; None if nothing is; `KEY_REFUSED` for a stale key."""
        try:
            workers = self._client.workers()
        except ServerUnreachable:
            return "waiting for the web server"
        except ServerFailed as error:
            return f"the web server waits: {error.message}"
        except RequestRefused as error:
            if error.status == 401:
                return KEY_REFUSED
            raise
        # A killed worker of the last run is listed until its lease ends.
        ready = sum(
            worker.state == "ready" and process.identify(worker.pid) is not None
            for worker in workers
        )
        if ready >= self._options.workers:
            return None
        if self._options.workers == 1:
            return f"loading {self._options.model}"
        return f"loading {self._options.model}: {ready} of {self._options.workers} workers"


def _client(memory: Memory) -> Client:
    return Client(f"http://127.0.0.1:{memory.ports['web']}", memory.api_key, patience_s=0)
