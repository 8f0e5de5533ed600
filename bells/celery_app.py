"""The Celery application: it rings and delivers, and decides nothing.

Messages are acknowledged before they run and may be lost or doubled without
harm; there is no result backend, no retry, no revoke and no countdown. Why
each of these settings: docs/decisions/0002-celery-only-rings.md.
"""

from collections.abc import Sequence
from uuid import UUID

from celery import Celery
from kombu.exceptions import OperationalError

from bells.connections import REDIS_FAULTS
from jobs.settings import Settings

RUN = "jobs.run"

# What sending a bell can raise when Redis is away or frozen.
PUBLISH_FAULTS: tuple[type[Exception], ...] = (OperationalError, *REDIS_FAULTS)


def queue_name(model: str, version: int) -> str:
    """The queue of one model version; Flower shows it by this name."""
    return f"model.{model}.{version}"


def make_app(settings: Settings, *, watches: bool = False) -> Celery:
    """The application of one process, for ringing or working, or for Flower, which
    `watches`: it knows queues by the name of the plain transport alone."""
    app = Celery("lmaas", broker=settings.redis_url.get_secret_value(), set_as_current=False)
    app.conf.update(
        result_backend=None,
        task_ignore_result=True,
        task_serializer="json",
        accept_content=["json"],
        task_acks_late=False,
        task_create_missing_queues=True,
        worker_prefetch_multiplier=1,
        worker_disable_prefetch=True,
        worker_send_task_events=True,
        worker_enable_remote_control=True,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        # Flower's events expire instead of filling a Redis nobody watches.
        event_queue_expires=60,
        event_queue_ttl=5,
        broker_transport_options={
            "socket_connect_timeout": 2,
            "socket_timeout": 10,
            "retry_on_timeout": False,
            # A bell may be lost: no table in Redis of those that were heard, no second ring.
            "ack_emulation": False,
        },
    )
    if not watches:
        app.conf.broker_transport = "bells.transport:Transport"
    return app


class Bell:
    """Publishes ids on a model's queue. May wait for seconds if Redis is
    frozen, so only the dispatcher's ringing thread calls it."""

    def __init__(self, settings: Settings) -> None:
        self._app = make_app(settings)

    def ring(self, queue: str, ids: Sequence[UUID]) -> None:
        """Sends one message; raises one of `PUBLISH_FAULTS`.

        Published by `queue=`: a named exchange would drop the message after a
        FLUSHALL, and still return an id.
        """
        self._app.send_task(
            RUN, args=[[str(id) for id in ids]], queue=queue, retry=False, ignore_result=True
        )
