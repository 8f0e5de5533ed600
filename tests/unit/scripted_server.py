"""A tiny HTTP server that plays LMaaS for tests of the client and the command line."""

import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY = "lmk-unit-test"


@dataclass
class Request:
    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What to answer; `drop` closes the connection without a word."""

    status: int = 200
    body: Any = None
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


def job(job_id: str, status: str = "succeeded", **fields: Any) -> dict[str, Any]:
    ended = status not in ("queued", "running")
    return {
        "id": job_id,
        "object": "job",
        "status": status,
        "task": "generate",
        "model": "echo@1",
        "priority": "normal",
        "metadata": {},
        "attempt": 1,
        "cancel_requested": False,
        "result": {
            "text": "ready",
            "finish_reason": "stop",
            "usage": {"prompt_tokens": 2, "completion_tokens": 1, "total_tokens": 3},
        }
        if status == "succeeded"
        else None,
        "error": {"message": "it broke", "type": "server_error", "code": "engine_failed"}
        if status == "failed"
        else None,
        "timings": {
            "queued_at": "2026-01-01T00:00:00Z",
            "started_at": None,
            "first_token_at": None,
            "finished_at": "2026-01-01T00:00:02Z" if ended else None,
        },
        **fields,
    }


def refusal(status: int, code: str, message: str = "no", **headers: str) -> Answer:
    error = {"message": message, "type": "invalid_request_error", "code": code, "param": "input"}
    return Answer(status, {"error": error}, headers)


class ScriptedServer:
    """Answers as told, in order; without a script it echoes each prompt at once."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.script: list[Answer] = []
        self.decide: Callable[[Request], Answer | None] = lambda request: None
        self.jobs: dict[str, dict[str, Any]] = {}
        self.keys: dict[str, str] = {}
        self.delay_s = 0.0
        self.at_once = self.most_at_once = 0
        self._lock = threading.Lock()
        self.url = ""

    def answer(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            if self.script:
                return self.script.pop(0)
        return self.decide(request) or self._play(request)

    def _play(self, request: Request) -> Answer:
        if request.method == "POST" and request.path == "/v1/jobs":
            return self._accept(request)
        if request.path.startswith("/v1/jobs/"):
            return self._show(request)
        return refusal(404, "not_found")

    def _accept(self, request: Request) -> Answer:
        with self._lock:
            key = request.headers.get("idempotency-key", "")
            job_id = self.keys.setdefault(key, f"job-{len(self.keys)}")
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        text = request.body["input"].get("prompt") or json.dumps(request.body["input"])
        bad = "poison" in text
        self.jobs[job_id] = job(job_id, "failed" if bad else "succeeded")
        if not bad:
            self.jobs[job_id]["result"]["text"] = text.upper()
        return Answer(202, job(job_id, "queued"))

    def _show(self, request: Request) -> Answer:
        job_id = request.path.split("/")[3]
        if job_id not in self.jobs:
            return refusal(404, "job_not_found", f"no job {job_id}")
        if request.path.endswith("/cancel"):
            return Answer(200, job(job_id, "cancelled"))
        time.sleep(self.delay_s)
        with self._lock:
            self.at_once -= 1
        return Answer(200, self.jobs[job_id])

    def to(self, path: str) -> list[Request]:
        return [request for request in self.requests if request.path == path]


def _handler(server: ScriptedServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            raw = self.rfile.read(length)
            split = urlsplit(self.path)
            answer = server.answer(
                Request(
                    self.command,
                    split.path,
                    {name: values[0] for name, values in parse_qs(split.query).items()},
                    {name.lower(): value for name, value in self.headers.items()},
                    json.loads(raw) if raw else None,
                )
            )
            if answer.drop:
                self.close_connection = True
                return
            body = (
                answer.body if isinstance(answer.body, bytes) else json.dumps(answer.body).encode()
            )
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = do_DELETE = _serve  # noqa: N815

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            return

    return Handler


@contextmanager
def running() -> Iterator[ScriptedServer]:
    server = ScriptedServer()
    http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(server))
    http.daemon_threads = True
    server.url = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        http.server_close()
        thread.join()
