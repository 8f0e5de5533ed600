"""Batches in this process: a file, the housekeeper's chores by hand, a worker that echoes."""

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from threading import Event
from typing import Any
from uuid import UUID

from sqlalchemy import Engine

from dispatcher.batch_intake import BatchIntake
from dispatcher.batch_outputs import BatchOutputs, end_lines
from dispatcher.chores import MORE
from files_store import catalog
from files_store.contents import Contents, open_contents
from files_store.stored_file import file_id, file_name
from jobs import embeddings
from jobs.batches import views
from jobs.batches.names import batch_id
from jobs.batches.views import BatchView
from jobs.envelopes import ClaimedJob, Outcome
from tests.integration.front_door import FrontDoor
from tests.integration.job_samples import a_worker, failure, release_all, success
from workers.engines.echo_vectors import vector

CHAT = "/v1/chat/completions"


def chat_line(custom_id: object, text: str = "hello", **body: Any) -> str:
    """A good line of a batch of chats."""
    asked = {"model": "echo", "messages": [{"role": "user", "content": text}], "max_tokens": 8}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": CHAT, "body": asked | body})


class StopAfter(Event):
    """A wish to end that comes when it was looked at so often: in the middle of things."""

    def __init__(self, looks: int) -> None:
        super().__init__()
        self._left = looks

    def is_set(self) -> bool:
        self._left -= 1
        return self._left < 0


@dataclass(frozen=True, slots=True)
class Running:
    """Jobs in the hands of a worker."""

    worker_id: UUID
    jobs: list[ClaimedJob]


@dataclass(frozen=True, slots=True)
class BatchBench:
    """A front door and what the housekeeper would do, called by hand."""

    door: FrontDoor
    contents: Contents
    intake: BatchIntake
    outputs: BatchOutputs

    @classmethod
    def over(cls, door: FrontDoor) -> "BatchBench":
        contents = open_contents(door.services.settings)
        return cls(
            door,
            contents,
            BatchIntake(door.engine, door.services.settings, contents),
            BatchOutputs(door.engine, contents),
        )

    @property
    def engine(self) -> Engine:
        return self.door.engine

    def file(self, data: bytes | Iterable[str], *, tenant_id: UUID | None = None) -> str:
        """A file with the purpose `batch`; returns its name."""
        raw = data if isinstance(data, bytes) else "\n".join(data).encode()
        made = catalog.create(
            self.engine, self.contents, tenant_id=tenant_id or self.door.tenant_id,
            purpose="batch", filename="in.jsonl", source=[raw], expires_after_s=None,
            most_bytes=10**9,
        )  # fmt: skip
        return file_name(made.id)

    def erase(self, file: str) -> None:
        """Deletes a file."""
        catalog.delete(self.engine, self.contents, self.door.tenant_id, file_id(file))

    def create(self, file: str, endpoint: str = CHAT, **more: Any) -> str:
        """A batch of that file; returns its name."""
        body = {"input_file_id": file, "endpoint": endpoint, "completion_window": "24h"} | more
        made = self.door.send("POST", "/v1/batches", json=body)
        assert made.status_code == 200, made.text
        return str(made.get_json()["id"])

    def view(self, name: str) -> BatchView:
        found = views.get(self.engine, self.door.tenant_id, batch_id(name))
        assert found is not None
        return found

    def take_in(self) -> None:
        """Reads all files to their ends."""
        while self.intake.piece(Event()) is MORE:
            pass

    def run(self, *, but: Iterable[UUID] = ()) -> None:
        """Runs what waits: every job succeeds with its own prompt, those of `but` fail."""
        while (running := self.claim(10_000)).jobs:
            self.end(running, but=but)

    def claim(self, count: int) -> Running:
        """So many of the waiting jobs, in the hands of a new worker."""
        release_all(self.door.manager)
        worker_id = a_worker(self.engine)
        return Running(worker_id, self.door.manager.claim(worker_id, "echo", 1, count))

    def end(self, running: Running, *, but: Iterable[UUID] = ()) -> None:
        """Ends them as their worker would."""
        failing = set(but)
        ends = [failure(job) if job.id in failing else _well_done(job) for job in running.jobs]
        self.door.manager.finish(running.worker_id, ends)

    def finish(self) -> None:
        """Ends lines of cancelled batches, finds the ends, writes all files."""
        while end_lines(self.engine) is MORE:
            pass
        while self.outputs.piece(Event()) is MORE:
            pass

    def content(self, name: str | None) -> list[dict[str, Any]]:
        """The lines of a file that a batch made; none if there is no file."""
        if name is None:
            return []
        file = catalog.get(self.engine, self.door.tenant_id, file_id(name))
        with catalog.read(self.engine, self.contents, file) as data:
            return [json.loads(line) for line in data.read().decode().splitlines()]

    def answer(self, name: str) -> dict[str, Any]:
        """The batch as the front door tells it."""
        told = self.door.get(f"/v1/batches/{name}")
        assert told.status_code == 200, told.text
        found: dict[str, Any] = told.get_json()
        return found

    def done(self, name: str) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Takes in, runs and ends; the lines of the output file and of the error file."""
        self.take_in()
        self.run()
        self.finish()
        told = self.answer(name)
        return self.content(told["output_file_id"]), self.content(told["error_file_id"])


def _well_done(job: ClaimedJob) -> Outcome:
    if job.task == "embed":
        vectors = {number: vector([number]) for number in range(len(job.input["input"]))}
        details = embeddings.details(vectors)
        return replace(success(job), text=None, completion_tokens=0, details=details)
    return replace(success(job, said(job.input)), completion_tokens=3)


def said(job_input: dict[str, Any]) -> str:
    """What the echo engine would answer."""
    if "prompt_token_ids" in job_input:
        return " as ids"
    return str(
        job_input["prompt"] if "prompt" in job_input else job_input["messages"][-1]["content"]
    )
