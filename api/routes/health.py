"""/health/*: the only routes without a key."""

from collections import Counter

from flask import Response
from flask_openapi3.blueprint import APIBlueprint
from flask_openapi3.models.tag import Tag

from api import presentation
from api.errors import RETRY_AFTER_S
from api.schemas import LiveAnswer, ReadyAnswer
from api.services import Services
from jobs import leases
from jobs.errors import DatabaseUnavailable


def blueprint(services: Services) -> APIBlueprint:
    """The routes over given services."""
    routes = APIBlueprint("health", __name__, url_prefix="/health", abp_tags=[Tag(name="health")])

    @routes.get("/live", summary="The web process answers", responses={200: LiveAnswer})
    def live() -> Response:
        return presentation.answer({"status": "ok"})

    @routes.get(
        "/ready", summary="Jobs are accepted", responses={200: ReadyAnswer, 503: ReadyAnswer}
    )
    def ready() -> Response:
        """503 when jobs cannot be accepted (Postgres is away). Redis may be away
        and a model may have no worker: jobs are accepted then, and wait."""
        redis = "ok" if services.hints.ping() else "unavailable"
        try:
            workers = leases.live_workers(services.engine)
        except DatabaseUnavailable:
            checks = {"database": "unavailable", "redis": redis, "models": {}}
            answer = presentation.answer({"status": "unavailable", "checks": checks}, 503)
            answer.headers["Retry-After"] = str(RETRY_AFTER_S)
            return answer
        ready_at = Counter(f"{w.model}@{w.version}" for w in workers if w.state == "ready")
        checks = {"database": "ok", "redis": redis, "models": dict(ready_at)}
        return presentation.answer({"status": "ok", "checks": checks})

    return routes
