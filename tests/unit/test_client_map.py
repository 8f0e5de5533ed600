"""`Client.map`: many jobs, bounded, in order, one failure alone."""

import itertools
import threading
from collections.abc import Iterator

import pytest

from lmaas import Client, JobFailed, RequestRefused
from lmaas.errors import BadUsage
from tests.unit.scripted_server import KEY, Answer, Request, ScriptedServer, job, refusal, running


@pytest.fixture
def server() -> Iterator[ScriptedServer]:
    with running() as started:
        yield started


@pytest.fixture
def client(server: ScriptedServer) -> Iterator[Client]:
    with Client(server.url, KEY, patience_s=1) as opened:
        yield opened


def test_results_come_in_the_order_of_the_items(client: Client) -> None:
    items = [f"item {number}" for number in range(40)]
    results = list(client.map(items, model="echo", in_flight=8))
    assert [item.index for item in results] == list(range(40))
    assert [item.result.text for item in results if item.result] == [i.upper() for i in items]


def test_without_order_nothing_is_lost_or_doubled(client: Client) -> None:
    results = client.map((str(n) for n in range(30)), model="echo", in_flight=7, ordered=False)
    assert sorted(item.index for item in results) == list(range(30))


def test_an_item_that_fails_stops_no_other(client: Client) -> None:
    first, second, third = client.map(["a", "poison", "b"], model="echo", in_flight=3)
    assert isinstance(second.error, JobFailed)
    assert second.result is None
    assert first.result is not None
    assert third.result is not None


def test_an_item_of_the_wrong_kind_or_that_is_refused_is_an_error_of_its_own(
    server: ScriptedServer, client: Client
) -> None:
    def decide(request: Request) -> Answer | None:
        too_long = request.method == "POST" and "long" in str(request.body)
        return refusal(400, "context_length_exceeded") if too_long else None

    server.decide = decide
    wrong, refused, good = client.map([7, "long", "fine"], model="echo", in_flight=2)
    assert isinstance(wrong.error, BadUsage)
    assert isinstance(refused.error, RequestRefused)
    assert good.result is not None


def test_an_endless_iterable_is_taken_only_as_far_as_there_is_room(
    server: ScriptedServer, client: Client
) -> None:
    taken = itertools.count()
    results = client.map((str(n) for n in taken), model="echo", in_flight=4, ordered=True)
    assert [item.index for item in itertools.islice(results, 20)] == list(range(20))
    results.close()  # type: ignore[attr-defined]
    assert server.most_at_once <= 4
    assert next(taken) <= 20 + 2 * 4 + 1


def test_one_slow_item_does_not_let_the_others_run_away(
    server: ScriptedServer, client: Client
) -> None:
    release = threading.Event()

    def decide(request: Request) -> Answer | None:
        if request.method == "GET" and request.path == "/v1/jobs/job-0":
            release.wait(5)
        return None

    server.decide = decide
    taken = itertools.count()
    results = client.map((str(n) for n in taken), model="echo", in_flight=3)
    slow = threading.Timer(0.5, release.set)
    slow.start()
    next(results)
    assert next(taken) <= 2 * 3 + 2
    results.close()  # type: ignore[attr-defined]
    slow.join()


def test_leaving_the_loop_cancels_what_is_in_flight(server: ScriptedServer, client: Client) -> None:
    def decide(request: Request) -> Answer | None:
        waits = request.method == "GET" and request.path != "/v1/jobs/job-0"
        return Answer(200, job(request.path.split("/")[3], "running")) if waits else None

    server.decide = decide
    for _ in client.map((str(n) for n in range(3)), model="echo", in_flight=1, ordered=True):
        break
    cancelled = [request for request in server.requests if request.path.endswith("/cancel")]
    assert len(cancelled) <= 1


def test_an_error_of_the_iterable_reaches_the_caller_after_what_was_submitted(
    client: Client,
) -> None:
    def items() -> Iterator[str]:
        yield "a"
        raise OSError("the disk is gone")

    results = client.map(items(), model="echo", in_flight=2)
    assert next(results).result is not None
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


@pytest.mark.parametrize("in_flight", [0, -1, 5000])
def test_a_bound_out_of_range_is_refused(client: Client, in_flight: int) -> None:
    with pytest.raises(BadUsage, match="in_flight"):
        client.map(["a"], model="echo", in_flight=in_flight)


def test_nothing_to_do_is_done_at_once(client: Client) -> None:
    assert list(client.map([], model="echo")) == []
