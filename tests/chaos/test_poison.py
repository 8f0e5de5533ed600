"""One prompt that kills its worker, in a batch of eight: seven succeed."""

from tests.chaos.arena import SLOTS, SOLO, Arena

POISON = "digitalis"


def test_the_poison_is_a_dead_letter_and_its_neighbours_succeed(arena: Arena) -> None:
    prompts = [POISON if number == 3 else f"harmless {number}" for number in range(SLOTS)]
    ids = [arena.client.submit(prompt, model=SOLO) for prompt in prompts]
    arena.stack.start("worker.poisoned", LMAAS_MODEL=SOLO, LMAAS_ECHO_POISON=POISON,
                      LMAAS_RESTART_PAUSE_S="0.02")  # fmt: skip
    ended = [arena.client.ended(id, within_s=90) for id in ids]
    arena.stack.stop("worker.poisoned")
    assert [job["status"] for job in ended] == [
        "failed" if prompt == POISON else "succeeded" for prompt in prompts
    ]
    assert ended[3]["error"]["code"] == "poisonous"
    http, own = arena.stack.http, ended[3]["urls"]["self"]
    attempts = http.get(f"{own}/attempts").json()["data"]
    assert [a["reason"] for a in attempts][-3:] == ["worker_died_alone"] * 3
    dead = http.get("/v1/jobs", params={"error_code": "poisonous"}).json()["data"]
    assert [job["id"] for job in dead] == [ended[3]["id"]]
    again = http.post(f"{own}/replay")
    assert (again.status_code, again.json()["replay_of"]) == (202, ended[3]["id"])
    # Nobody hosts its model any more: the new job waits, and is taken back.
    assert arena.client.cancel(again.json()["id"])
