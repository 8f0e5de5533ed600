"""What the routes work with, made once for each web process."""

from dataclasses import dataclass

from sqlalchemy import Engine

from api.auth import Authenticator
from api.batch_hub import BatchHub
from api.key_uses import KeyUses
from api.streams import StreamHub
from api.transfers import Transfers
from api.waiting import Notifier
from bells.hints import Hints
from files_store.contents import Contents, open_contents
from jobs.database import open_engine
from jobs.settings import Settings
from jobs.task_manager import TaskManager
from jobs.webhooks.endpoints import Endpoints
from jobs.webhooks.secrets import Safe
from routing.request_router import RequestRouter


@dataclass(frozen=True, slots=True)
class Services:
    """See the module."""

    settings: Settings
    engine: Engine
    task_manager: TaskManager
    router: RequestRouter
    notifier: Notifier
    streams: StreamHub
    hints: Hints
    authenticator: Authenticator
    key_uses: KeyUses
    # For tenants with limits: what is counted there may be forgotten in a crash.
    counting: Engine
    batches: BatchHub
    contents: Contents
    transfers: Transfers
    webhooks: Endpoints

    def let_go(self) -> None:
        """Ends all that waits for jobs, and lets nobody wait any more: this process ends."""
        self.notifier.let_go()
        self.streams.let_go()
        self.batches.let_go()


def open_services(settings: Settings) -> Services:
    """Connects lazily: a web process starts while Postgres and Redis are away."""
    engine = open_engine(settings, application="lmaas-web", connections=12)
    streams = StreamHub(engine, settings)
    streams.start()
    batches = BatchHub(engine)
    batches.start()
    notifier = Notifier(engine, settings, streams.hear)
    notifier.start()
    uses = KeyUses(engine)
    uses.start()
    return Services(
        settings=settings,
        engine=engine,
        task_manager=TaskManager(engine),
        router=RequestRouter(engine, settings),
        notifier=notifier,
        streams=streams,
        hints=Hints(settings),
        authenticator=Authenticator(engine, uses.note),
        key_uses=uses,
        counting=open_engine(
            settings, application="lmaas-web-quotas", connections=8, durable=False
        ),
        batches=batches,
        contents=open_contents(settings),
        transfers=Transfers(settings),
        webhooks=Endpoints(engine, Safe(settings.webhook_keys)),
    )
