"""The client: submit jobs, collect results. Everything goes over HTTP."""

import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Self

from lmaas import reading
from lmaas.address import find_address
from lmaas.answers import Attempt, Job, Replay, Result
from lmaas.batches import Batches
from lmaas.embedding import Embedding
from lmaas.envelope import Input, Selected, chosen_jobs, envelope, times
from lmaas.errors import BadUsage, JobCancelled, JobExpired, JobFailed, WaitTimeout
from lmaas.explanation import Explanation, read_explanation
from lmaas.files import Files
from lmaas.keys import Keys
from lmaas.maps import Maps
from lmaas.overview import Overview
from lmaas.tenant import Tenant
from lmaas.transport import Transport
from lmaas.webhooks import Webhooks

_POLL_S = 30.0
_ENDED_BADLY = {"failed": JobFailed, "cancelled": JobCancelled, "expired": JobExpired}


class Client(Embedding, Overview, Tenant, Maps):
    """A server and a key.

    Both default to LMAAS_URL and LMAAS_API_KEY, else to what `lmaas up` in
    this checkout wrote down. A request that meets no server or 503 is tried again
    for up to `patience_s`, one that meets a limit (429) for four times as long; a
    submit carries an idempotency key, so that trying again never makes a second job.
    """

    def __init__(
        self, base_url: str | None = None, api_key: str | None = None, *, patience_s: float = 30
    ) -> None:
        address = find_address(base_url, api_key)
        self._transport = Transport(address.url, address.api_key, patience_s=patience_s)
        self.keys = Keys(self._transport)
        self.files = Files(self._transport)
        self.batches = Batches(self._transport)
        self.webhooks = Webhooks(self._transport)

    @property
    def base_url(self) -> str:
        """The server's URL."""
        return self._transport.base_url

    def close(self) -> None:
        """Closes the connections; jobs go on."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def submit(  # noqa: PLR0913  the fields of a job
        self,
        *,
        model: str,
        task: str | None = None,
        input: Mapping[str, Any] | None = None,  # noqa: A002  the word of the API
        prompt: str | None = None,
        messages: Sequence[Mapping[str, str]] | None = None,
        priority: str = "normal",
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
        deadline: datetime | None = None,
        run_at: datetime | None = None,
        expires_after_s: float | None = None,
        refuse_unmeetable: bool = False,
        webhook: Mapping[str, Any] | None = None,
        wait_s: float | None = None,
        **parameters: object,
    ) -> Job:
        """Submits a job and returns at once with its id: accepted means durable.

        Give one of `prompt`, `messages` and `input`; the task follows from
        it. `parameters` are the API's: max_tokens, temperature, stop, seed, n,
        logprobs, response_format and more. With `wait_s` the answer comes when
        the job ends, or then.
        The job is not started before `run_at`, waits `expires_after_s` at most,
        and ends at `deadline`; with `refuse_unmeetable` it is not accepted if
        it cannot end by then. Its end is told to `webhook` (`url`, `events`). Raises
        `RequestRefused` with the field's name in `param`, or `DeadlineUnmeetable`
        with `earliest_finish`.
        """
        body = envelope(Input(task, input, prompt, messages), model, parameters, priority, metadata)
        body |= times(deadline, run_at, expires_after_s, refuse_unmeetable=refuse_unmeetable)
        body |= {"webhook": dict(webhook)} if webhook else {}
        headers = {"Idempotency-Key": idempotency_key or str(uuid.uuid4())}
        if wait_s is not None:
            headers["Prefer"] = f"wait={max(0, min(60, int(wait_s)))}"
        answer = self._transport.request(
            "POST", "/v1/jobs", body=body, headers=headers, read_timeout_s=30 + (wait_s or 0)
        )
        return reading.read_job(answer)

    def get(self, job_id: str, *, wait_s: float = 0) -> Job:
        """The job now, or when it ends within `wait_s` seconds (at most 60)."""
        wait = max(0, min(60, int(wait_s)))
        answer = self._transport.request(
            "GET",
            f"/v1/jobs/{_id(job_id)}",
            query={"wait": wait} if wait else None,
            read_timeout_s=30 + wait,
        )
        return reading.read_job(answer)

    def wait(self, job: str | Job, timeout_s: float | None = None) -> Job:
        """The job once it has ended, however it did. Raises `WaitTimeout`."""
        job_id = job.id if isinstance(job, Job) else job
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left = _POLL_S if deadline is None else max(0.0, deadline - time.monotonic())
            asked = time.monotonic()
            seen = self.get(job_id, wait_s=min(_POLL_S, max(left, 1)))
            if seen.ended:
                return seen
            if deadline is not None and time.monotonic() >= deadline:
                raise WaitTimeout(
                    f"job {job_id} is still {seen.status}; it goes on: "
                    f"`lmaas wait {job_id}` waits longer"
                )
            # A server that is short of waiters answers at once: do not hammer it.
            time.sleep(max(0.0, min(0.25, left) - (time.monotonic() - asked)))

    def result(self, job: str | Job, timeout_s: float | None = None) -> Result:
        """The result once the job has succeeded.

        Raises `JobFailed`, `JobCancelled` or `JobExpired` if it ended
        otherwise, `WaitTimeout` if it has not ended after `timeout_s`.
        """
        ended = job if isinstance(job, Job) and job.ended else self.wait(job, timeout_s)
        if ended.status in _ENDED_BADLY or ended.result is None:
            raise _ENDED_BADLY.get(ended.status, JobFailed)(ended)
        return ended.result

    def cancel(self, job: str | Job) -> Job:
        """Asks for the job's end; one that has ended is answered unchanged."""
        job_id = job.id if isinstance(job, Job) else job
        return reading.read_job(self._transport.request("POST", f"/v1/jobs/{_id(job_id)}/cancel"))

    def erase(self, job: str | Job) -> None:
        """Erases the input and the result of a job that has ended."""
        job_id = job.id if isinstance(job, Job) else job
        self._transport.request("DELETE", f"/v1/jobs/{_id(job_id)}")

    def attempts(self, job: str | Job) -> list[Attempt]:
        """What ran of a job, where, and how each attempt ended."""
        job_id = job.id if isinstance(job, Job) else job
        return self._list(f"jobs/{_id(job_id)}/attempts", reading.read_attempt)

    def explain(self, job: str | Job) -> Explanation:
        """Where a job stands, when it will run, and why not yet."""
        job_id = job.id if isinstance(job, Job) else job
        answer = self._transport.request("GET", f"/v1/jobs/{_id(job_id)}/explain")
        return read_explanation(answer)

    def replay(self, job: str | Job) -> Job:
        """Runs a finished job's input again as a new job, which it returns."""
        job_id = job.id if isinstance(job, Job) else job
        return reading.read_job(self._transport.request("POST", f"/v1/jobs/{_id(job_id)}/replay"))

    def replay_many(self, *, dry_run: bool = False, **selection: Selected) -> list[Replay]:
        """Runs all finished jobs that the selection means again, as new jobs,
        except those that were replayed before. `selection` is as for `jobs`.
        With `dry_run` it only says which (up to 1,000)."""
        body = chosen_jobs(selection) | {"dry_run": dry_run}
        done: list[Replay] = []
        while True:
            answer = self._transport.request("POST", "/v1/jobs/replay", body=body)
            done += reading.read_list(answer, reading.read_replay)
            if dry_run or not answer.get("more"):
                return done

    def jobs(self, *, page: int = 100, **selection: Selected) -> Iterator[Job]:
        """All jobs that match, newest first, page by page, without their results'
        text. They are selected by status, model, task, error_code, ended_since,
        ended_until and worker."""
        query: dict[str, str | int] = {**chosen_jobs(selection), "limit": page}
        while True:
            body = self._transport.request("GET", "/v1/jobs", query=query)
            yield from reading.read_list(body, reading.read_job)
            if not body.get("next_cursor"):
                return
            query["cursor"] = body["next_cursor"]


def _id(text: str) -> str:
    """An id that is safe inside a path: what is none is refused before it is sent."""
    if not text or not all(character.isalnum() or character in "-_" for character in text):
        raise BadUsage(f"{text!r} is not an id of a job")
    return text
