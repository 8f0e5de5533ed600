"""Places for uploads and downloads are bounded, and always come back."""

import socket
from collections.abc import Iterator

import pytest

from api.transfers import Transfers
from jobs.content_errors import TooManyTransfers
from jobs.settings import Settings


@pytest.fixture
def transfers() -> Transfers:
    given = {"DATABASE_URL": "postgresql://x/y", "REDIS_URL": "redis://x", "max_transfers": 2}
    return Transfers(Settings.model_validate(given))


@pytest.fixture
def ends() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield ours, theirs


def test_no_more_than_the_setting_says_are_taken(transfers: Transfers) -> None:
    with transfers.one({}), transfers.one({}), pytest.raises(TooManyTransfers):
        transfers.one({}).__enter__()
    with transfers.one({}), transfers.one({}):
        pass


def test_the_client_has_a_time_limit_for_as_long_as_its_file_is_on_its_way(
    transfers: Transfers, ends: tuple[socket.socket, socket.socket]
) -> None:
    with transfers.one({"gunicorn.socket": ends[0]}):
        assert ends[0].gettimeout() == 60
    assert ends[0].gettimeout() is None


def test_a_place_comes_back_whatever_became_of_the_client(
    transfers: Transfers,
) -> None:
    for _ in range(3):
        ours, theirs = socket.socketpair()
        with theirs, transfers.one({"gunicorn.socket": ours}):
            ours.close()
    for _ in range(3):
        with pytest.raises(ConnectionError), transfers.one({}):
            raise ConnectionError
