"""A client that writes down what it does and what it is told."""

import time
from typing import Any

import httpx2 as httpx

from jobs.ids import new_id
from jobs.states import TERMINAL
from tests.chaos.history import Entry, History, Kind
from tests.conditions import eventually

Answer = dict[str, Any]


class LoggedClient:
    """Jobs of one tenant over HTTP. Safe for many threads, like its `http`."""

    def __init__(self, http: httpx.Client, history: History, *, tenant: str = "default") -> None:
        self._http = http
        self._history = history
        self._tenant = tenant

    def try_submit(self, prompt: str, *, key: str | None = None, wait_s: int = 0, **more: Any
                   ) -> httpx.Response | None:  # fmt: skip
        """One attempt to submit a generate job that the echo engine answers with
        its prompt; None if no answer came."""
        key = key or str(new_id())
        body = {"task": "generate", "model": "echo", "input": {"prompt": prompt}} | more
        body.setdefault("parameters", {"max_tokens": max(1, len(prompt.encode()))})
        headers = {"Idempotency-Key": key} | ({"Prefer": f"wait={wait_s}"} if wait_s else {})
        began = time.time()
        try:
            response = self._http.post("/v1/jobs", json=body, headers=headers)
        except httpx.TransportError:
            self._add(Kind.SUBMIT, began, key=key, text=prompt)
            return None
        told = response.json() if response.status_code in (200, 202) else {}
        self._add(Kind.SUBMIT, began, key=key, status=response.status_code, id=told.get("id"),
                  text=prompt)  # fmt: skip
        if told.get("status") in TERMINAL:
            self._saw(began, told)
        return response

    def submit(self, prompt: str, *, within_s: float = 30, **more: Any) -> str:
        """The id of an accepted job, asked for with one key until an answer says so."""
        key = str(new_id())

        def ask() -> str | None:
            response = self.try_submit(prompt, key=key, **more)
            if response is None or response.status_code >= 500:
                return None
            assert response.status_code in (200, 202), response.text
            return str(response.json()["id"])

        return eventually(ask, within_s=within_s, what="a submit was accepted")

    def get(self, id: str, *, wait_s: float = 0) -> Answer | None:
        """The job as it is told now; None without an answer, or with a 503."""
        began = time.time()
        try:
            response = self._http.get(f"/v1/jobs/{id}", params={"wait": wait_s})
        except httpx.TransportError:
            return None
        if response.status_code == 503:
            return None
        if response.status_code != 200:
            self._add(Kind.SEEN, began, id=id, status=response.status_code)
            return None
        return self._saw(began, response.json())

    def ended(self, id: str, *, within_s: float = 60) -> Answer:
        """The job's end, waited for."""

        def look() -> Answer | None:
            job = self.get(id, wait_s=5)
            return job if job is not None and job["status"] in TERMINAL else None

        return eventually(look, within_s=within_s, what=f"job {id} has ended")

    def result(self, id: str, *, within_s: float = 60) -> str:
        """The text of a job that must succeed."""
        job = self.ended(id, within_s=within_s)
        assert job["status"] == "succeeded", job
        return str(job["result"]["text"])

    def cancel(self, id: str) -> Answer | None:
        """Asks for the end of a job; None if that was not acknowledged."""
        began = time.time()
        try:
            response = self._http.post(f"/v1/jobs/{id}/cancel")
        except httpx.TransportError:
            return None
        if response.status_code != 200:
            return None
        told: Answer = response.json()
        self._add(Kind.CANCEL, began, id=id, status=200, state=told["status"],
                  cancel_requested=told["cancel_requested"])  # fmt: skip
        return told

    def _saw(self, began: float, told: Answer) -> Answer:
        result = told["result"] or {}
        self._add(
            Kind.SEEN,
            began,
            id=told["id"],
            status=200,
            state=told["status"],
            attempt=told["attempt"],
            cancel_requested=told["cancel_requested"],
            text=result.get("text"),
            completion_tokens=result.get("usage", {}).get("completion_tokens"),
        )
        return told

    def _add(self, kind: Kind, began: float, **more: Any) -> None:
        self._history.add(Entry(kind, began, time.time(), tenant=self._tenant, **more))
