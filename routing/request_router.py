"""The Request Router: from a request to a job that can run.

Resolves the task type and the model (an alias is pinned to its version here),
checks the input against the task's schema and the model's context. A model
without a worker is no reason to refuse: the job waits.
"""

import time
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Engine

from jobs.database import transact
from jobs.envelopes import NewJob, Times
from jobs.errors import InvalidRequest, UnknownTask, UnsupportedParameter
from jobs.ids import new_id
from jobs.keys import Principal
from jobs.moments import maybe_in_utc
from jobs.outlook.estimates import GUESSED_TOKEN_S
from jobs.settings import Settings
from jobs.spec import (
    TASK_INPUTS,
    Parameters,
    Strict,
    Submit,
    Task,
)
from jobs.task_parameters import check_names
from jobs.webhooks.urls import Rules, of_job
from models_store import catalog, grammar, prompt
from models_store.catalog import ModelVersion
from routing import sizes, texts

# A moved alias is followed after this long, in exchange for not asking
# Postgres with every request.
REMEMBER_S = 1.0
_MOST_REMEMBERED = 1_000
LATEST = timedelta(days=365)
# For what starts as late as it may, too.
LATEST_DEADLINE = 2 * LATEST


class BadInput(Exception):
    """The job's input does not fit the schema of its task; carries pydantic's error."""

    def __init__(self, error: ValidationError) -> None:
        super().__init__("bad input")
        self.error = error


class RequestRouter:
    """See the module."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._models_folder = settings.models_folder
        self._url_rules = Rules.of(settings)
        self._known: dict[str, tuple[float, ModelVersion]] = {}
        self._lock = Lock()

    def route(self, request: Submit, asking: Principal, client_address: str) -> NewJob:
        """The job that a request means.

        Raises `UnknownTask`, `UnknownModel`, `BadInput`, `PromptTooLong` or
        `InvalidRequest`, each naming the field.
        """
        task = _task(request.task)
        told = request.webhook
        webhook = None if told is None else of_job(asking.tenant_id, told, self._url_rules)
        version = self._version(request.model)
        if task.value not in version.tasks:
            raise InvalidRequest(
                f"the model {version.reference} does not do {task.value!r}, "
                f"only {', '.join(version.tasks)}",
                param="task",
            )
        check_names(task, request.parameters)
        self._check_parameters(request.parameters, version)
        job_input = _check_input(task, request.input)
        prompt_tokens = self._count(task, version, job_input)
        parameters, all_tokens = sizes.fit(task, request.parameters, prompt_tokens, version)
        return NewJob(
            id=new_id(),
            tenant_id=asking.tenant_id,
            task=task.value,
            model=version.name,
            version=version.version,
            priority=request.priority,
            client_address=client_address,
            input=job_input,
            parameters=parameters,
            labels=dict(request.metadata),
            prompt_tokens=prompt_tokens,
            max_tokens=all_tokens,
            max_attempts=request.max_attempts,
            stream=request.stream,
            times=_times(request, all_tokens),
            webhook=webhook,
        )

    def prompt_text(self, job: NewJob) -> str:
        """The prompt of a job that was routed, `generate` only; token ids as their text."""
        ids = job.input.get("prompt_token_ids")
        if ids is None:
            return str(job.input["prompt"])
        version = self._version(f"{job.model}@{job.version}")
        return prompt.renderer(version, self._models_folder).text(ids)

    def _version(self, text: str) -> ModelVersion:
        now = time.monotonic()
        with self._lock:
            known = self._known.get(text)
        if known is not None and known[0] > now:
            return known[1]
        version = transact(self._engine, lambda connection: catalog.resolve(connection, text))
        with self._lock:
            if len(self._known) >= _MOST_REMEMBERED:
                self._known.clear()
            self._known[text] = (now + REMEMBER_S, version)
        return version

    def _check_parameters(self, asked: Parameters, version: ModelVersion) -> None:
        """Raises `UnsupportedParameter` or `InvalidRequest` for what the model cannot do."""
        if not asked.is_free_text and asked.response_format is not None:
            if version.engine == "echo":
                raise UnsupportedParameter(
                    f"the model {version.reference} repeats the prompt and gives no other form",
                    param="parameters.response_format",
                )
            grammar.check(asked.response_format)
        if not asked.logit_bias and not asked.stop_token_ids:
            return
        vocabulary = prompt.renderer(version, self._models_folder).vocab_size
        for name, ids in (
            ("logit_bias", asked.logit_bias),
            ("stop_token_ids", asked.stop_token_ids),
        ):
            if vocabulary is not None and max(ids, default=0) >= vocabulary:
                raise InvalidRequest(
                    f"{version.reference} has the token ids 0 to {vocabulary - 1:,}",
                    param=f"parameters.{name}",
                )

    def _count(self, task: Task, version: ModelVersion, job_input: dict[str, Any]) -> int:
        renderer = prompt.renderer(version, self._models_folder)
        if task is Task.EMBED:
            return texts.count(renderer, version, job_input["input"])
        if task is Task.CHAT:
            text = renderer.chat(job_input["messages"])
            return len(renderer.encode(text, special=False))
        if (ids := job_input.get("prompt_token_ids")) is not None:
            renderer.check(ids)
            return len(ids)
        return len(renderer.encode(job_input["prompt"], special=True))


def _task(name: str) -> Task:
    try:
        return Task(name)
    except ValueError:
        known = ", ".join(TASK_INPUTS)
        raise UnknownTask(f"there is no task {name[:64]!r}, only: {known}", param="task") from None


def _check_input(task: Task, value: dict[str, Any]) -> dict[str, Any]:
    schema: type[Strict] = TASK_INPUTS[task]
    try:
        return schema.model_validate(value).model_dump(exclude_none=True)
    except ValidationError as error:
        raise BadInput(error) from error


def _times(request: Submit, max_tokens: int) -> Times:
    """The request's times in UTC; a `run_at` that has passed means now. Raises
    `InvalidRequest` for a run that starts after its deadline, whose deadline has passed,
    and for what lies too far ahead."""
    now = datetime.now(UTC)
    run_at = maybe_in_utc(request.run_at, "run_at")
    deadline = maybe_in_utc(request.deadline, "deadline")
    if deadline is not None and deadline <= max(run_at or now, now):
        raise InvalidRequest("the deadline lies before the job could start", param="deadline")
    for name, at, latest in (("run_at", run_at, LATEST), ("deadline", deadline, LATEST_DEADLINE)):
        if at is not None and at > now + latest:
            raise InvalidRequest(f"{name} lies more than {latest.days} days ahead", param=name)
    return Times(
        run_at=run_at,
        expires_after_s=request.expires_after,
        deadline=deadline,
        estimate_s=max_tokens * GUESSED_TOKEN_S,
    )
