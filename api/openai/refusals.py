"""How these routes say no; the words are in `routing.openai.problems`."""

from http import HTTPStatus

from flask import Response
from pydantic import ValidationError

from api import errors
from jobs.job_views import JobView
from routing.openai import problems
from routing.problems import Problem


class Refusal(Exception):
    """An answer that is an error and no retry mends: the work would be done twice."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.message)
        self.problem = problem

    def response(self) -> Response:
        """The error as an answer of its own."""
        made = errors.of_problem(self.problem)
        made.headers["x-should-retry"] = "false"
        return made


class ClientLeft(Refusal):
    """Nobody reads this answer; the web's counters do."""

    def __init__(self) -> None:
        # Not in the standard; what nginx calls it.
        super().__init__(Problem(499, "the client closed its connection", "client_left"))


def of_validation(error: ValidationError) -> Response:
    """The answer to a body or query that does not fit its schema."""
    return errors.of_problem(problems.of_validation(error))


def of_ended(view: JobView) -> Refusal:
    """What a job that did not succeed answers to those who waited for it."""
    return Refusal(problems.of_ended(view))


def of_wait(job_id: object) -> Refusal:
    """Somebody waited as long as anybody may."""
    message = f"job {job_id} goes on; GET /v1/jobs/{job_id} has its result when it ends"
    return Refusal(Problem(HTTPStatus.GATEWAY_TIMEOUT, message, "wait_timeout"))


def of_restart(job_id: object) -> Refusal:
    """A job's worker was lost after its text was sent."""
    message = (
        f"job {job_id} starts again, what was sent of its text is void; "
        f"GET /v1/jobs/{job_id} has its result when it ends"
    )
    return Refusal(Problem(HTTPStatus.INTERNAL_SERVER_ERROR, message, "attempt_lost"))
