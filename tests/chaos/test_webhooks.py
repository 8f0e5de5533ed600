"""A housekeeper dies between a receiver's answer and its mark, and receivers misbehave:
every end is told, under one id, and never before it is true."""

import random
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from sqlalchemy import text

from jobs.database import run
from tests.chaos.arena import Arena
from tests.chaos.checker import Told
from tests.conditions import eventually
from tests.receiver import Decide, Received, Receiver, Reply, receiving


@pytest.fixture
def receiver(arena: Arena) -> Iterator[Receiver]:
    """Asks the front door, before it answers, for the state of the job it is told of."""
    with receiving() as started:
        started.decide = asking(arena, lambda _: Reply())
        yield started


def asking(arena: Arena, decide: Decide) -> Decide:
    def look(got: Received) -> Reply:
        event = got.event
        subject = event["data"]["id"]
        assert got.id == event["id"]
        seen = arena.client.get(subject)
        state = None if seen is None else str(seen["status"])
        arena.told.append(Told(got.id, event["type"], subject, state))
        return decide(got)

    return look


def told(arena: Arena, ids: list[str]) -> None:
    """Waits until the ends of all of these are told and marked so."""
    query = text("SELECT count(*) AS told FROM webhook_deliveries "
                 "WHERE state = 'delivered' AND subject = ANY (CAST(:ids AS text[]))")  # fmt: skip
    eventually(lambda: run(arena.engine, query, {"ids": ids})[0].told == len(ids), within_s=30,
               what=f"{len(ids)} ends were told")  # fmt: skip


def test_a_housekeeper_killed_between_send_and_mark_tells_every_end_under_one_id(
    arena: Arena, rng: random.Random, receiver: Receiver
) -> None:
    name = "housekeeper.armed"
    arena.stack.start(name, LMAAS_FAILPOINTS="housekeeper.delivered=kill@1")
    ids: list[str] = []

    def has_died() -> bool:
        ids.extend(arena.submit(rng, 2, longest=5, webhook={"url": receiver.url()}))
        return arena.stack.has_ended(name)

    eventually(has_died, within_s=30, what="a housekeeper died at its point")
    assert "failpoint housekeeper.delivered: kill" in arena.stack.log(name)
    arena.stack.forget(name)
    arena.succeed(ids)
    told(arena, ids)
    heard = Counter(receiver.ids())
    assert max(heard.values()) > 1  # what was answered and not marked was told again
    assert len(heard) == len({got.event["data"]["id"] for got in receiver.received})


def test_slow_redirecting_and_rebinding_receivers_delay_and_deceive_nobody(
    arena: Arena, rng: random.Random, receiver: Receiver
) -> None:
    go_on = threading.Event()

    def decide(got: Received) -> Reply:
        if got.path == "/slow" and not go_on.is_set():
            go_on.wait(timeout=2)
        if got.path == "/moved" and not go_on.is_set():
            return Reply(302, {"Location": receiver.url("/stolen")})
        return Reply()

    receiver.decide = asking(arena, decide)
    ids: dict[str, list[str]] = {}
    with receiving() as good:
        good.decide = asking(arena, lambda _: Reply())
        for path in ("/slow", "/moved"):
            ids[path] = arena.submit(rng, 6, longest=10, webhook={"url": receiver.url(path)})
        ids["good"] = arena.submit(rng, 20, longest=10, webhook={"url": good.url()})
        told(arena, ids["good"])
        go_on.set()
        told(arena, [*ids["/slow"], *ids["/moved"]])
    assert not [got for got in receiver.received if got.path == "/stolen"]
