"""Ids are UUIDv7: unique, and sorted by the time they were made."""

import threading
import time
from uuid import RFC_4122, UUID

from jobs.ids import new_id


def test_an_id_is_a_version_7_uuid_of_the_rfc_variant() -> None:
    made = [new_id() for _ in range(1_000)]
    assert {id.version for id in made} == {7}
    assert {id.variant for id in made} == {RFC_4122}


def test_an_id_tells_the_millisecond_in_which_it_was_made() -> None:
    before = time.time_ns() // 1_000_000
    milliseconds = new_id().int >> 80
    assert before <= milliseconds <= time.time_ns() // 1_000_000


def test_ids_of_different_milliseconds_sort_by_time() -> None:
    made: list[UUID] = []
    while len({id.int >> 80 for id in made}) < 5:
        made.append(new_id())
    stamps = [id.int >> 80 for id in sorted(made)]
    assert stamps == [id.int >> 80 for id in made]


def test_ids_sort_as_text_as_they_sort_as_numbers() -> None:
    made = [new_id() for _ in range(1_000)]
    assert [str(id) for id in sorted(made)] == sorted(str(id) for id in made)


def test_ids_from_many_threads_are_all_different() -> None:
    made: list[list[UUID]] = [[] for _ in range(8)]

    def make(mine: list[UUID]) -> None:
        mine.extend(new_id() for _ in range(5_000))

    threads = [threading.Thread(target=make, args=(mine,)) for mine in made]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id for mine in made for id in mine}) == 40_000
