"""What a team writes in an afternoon: Flask, Celery and a Redis result backend."""

import os
import time

from celery import Celery
from flask import Flask, request

celery = Celery("plain", broker=os.environ["REDIS_URL"], backend=os.environ["REDIS_URL"])
app = Flask("plain")


@celery.task(name="echo")  # type: ignore[untyped-decorator]
def echo(prompt: str) -> dict[str, object]:
    return {"text": prompt, "started": time.time()}


@app.post("/jobs")
def submit() -> tuple[dict[str, object], int]:
    return {"id": echo.delay(request.get_json()["prompt"]).id}, 202


@app.get("/jobs/<job_id>")
def poll(job_id: str) -> dict[str, object]:
    result = celery.AsyncResult(job_id)
    return {"status": result.status, "result": result.result if result.ready() else None}
