"""`lmaas up`, `status` and `down` when things go well and when they do not."""

import contextlib
import json
import os
import signal
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.acceptance.pretend_checkout import PretendCheckout
from tests.conditions import eventually


@pytest.fixture
def checkout() -> Iterator[PretendCheckout]:
    with tempfile.TemporaryDirectory() as folder:
        # As a checkout is: its Postgres, another user for root, may pass.
        Path(folder).chmod(0o755)
        pretend = PretendCheckout(Path(folder))
        yield pretend
        pretend.lmaas("down")
        left = pretend.processes()
        for process in left:
            process.kill()
    assert left == []


def _status(checkout: PretendCheckout) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(checkout.lmaas("status", "--json").stdout)
    return facts


def _pid(checkout: PretendCheckout, name: str) -> int:
    return next(int(item["pid"]) for item in _status(checkout)["processes"] if item["name"] == name)


def _up(checkout: PretendCheckout, *words: str, **settings: str) -> dict[str, Any]:
    done = checkout.lmaas("up", "--model", "echo", "--json", *words, **settings)
    assert done.returncode == 0, done.stderr
    facts: dict[str, Any] = json.loads(done.stdout)
    return facts


def test_up_status_and_down_each_twice(checkout: PretendCheckout) -> None:
    assert checkout.lmaas("status").returncode == 3
    first = _up(checkout)
    again = _up(checkout)
    assert (first["already_running"], again["already_running"]) == (False, True)
    assert first["api_key"] == again["api_key"]
    assert first["addresses"] == again["addresses"]
    seen = _status(checkout)
    assert seen["healthy"]
    assert [item["name"] for item in seen["processes"]] == [
        *("postgres", "valkey", "web", "dispatcher", "housekeeper", "worker", "flower")
    ]
    assert checkout.lmaas("status").returncode == 0
    asked = checkout.lmaas("exec", "python", "-c", _ASKS_POSTGRES, "--json")
    assert (asked.returncode, asked.stdout, asked.stderr) == (7, "lmaas --json\n", "")
    for expected in (True, False):
        done = checkout.lmaas("down", "--json")
        assert done.returncode == 0
        assert json.loads(done.stdout) == {"stopped": expected}
    assert checkout.processes() == []
    assert not (checkout.state / "environment.json").exists()
    for words in (("ls",), ("exec", "python", "-c", "")):
        done = checkout.lmaas(*words)
        assert (done.returncode, done.stdout) == (3, "")
        assert done.stderr == "lmaas: nothing runs here; `lmaas up` starts it\n"


_ASKS_POSTGRES = """
import os, sqlalchemy, sys
with sqlalchemy.create_engine(os.environ["DATABASE_URL"]).connect() as connection:
    print(connection.scalar(sqlalchemy.text("SELECT current_database()")), sys.argv[1])
sys.exit(7)
"""


def test_secrets_stay_private_and_off_every_command_line(checkout: PretendCheckout) -> None:
    _up(checkout)
    settings = checkout.state / "settings.json"
    for private in (settings, checkout.state / "environment.json"):
        assert stat.S_IMODE(private.stat().st_mode) == 0o600
    memory = json.loads(settings.read_text())
    secrets = [value for name, value in memory.items() if name.endswith("_password")]
    secrets += memory["api_keys"].values()
    assert len(secrets) == 4
    lines = [" ".join(process.cmdline()) for process in checkout.processes()]
    logs = [log.read_text() for log in (checkout.state / "logs").iterdir()]
    assert not [secret for secret in secrets for text in (*lines, *logs) if secret in text]


def test_key_and_ports_are_the_same_after_a_restart(checkout: PretendCheckout) -> None:
    first = _up(checkout)
    checkout.lmaas("down")
    second = _up(checkout)
    assert second["api_key"] == first["api_key"]
    assert second["addresses"] == first["addresses"]


def test_a_taken_port_is_walked_around(checkout: PretendCheckout) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = other.getsockname()[1]
        facts = _up(checkout, LMAAS_WEB_PORT=str(taken))
        assert not facts["addresses"]["api"].endswith(f":{taken}")
    prints = "import os; print(os.environ['LMAAS_WEB_PORT'])"
    port = checkout.lmaas("exec", "python", "-c", prints, LMAAS_WEB_PORT=str(taken)).stdout.strip()
    assert facts["addresses"]["api"].endswith(f":{port}")


def test_a_process_that_dies_comes_back_and_is_counted(checkout: PretendCheckout) -> None:
    _up(checkout)
    for name in ("worker", "valkey", "postgres"):
        os.kill(_pid(checkout, name), signal.SIGKILL)
        eventually(lambda name=name: _restarts(checkout, name) == 1)  # type: ignore[misc]
    eventually(lambda: bool(_status(checkout)["healthy"]))


def _restarts(checkout: PretendCheckout, name: str) -> int:
    items = _status(checkout)["processes"]
    return sum(item["restarts"] for item in items if item["name"] == name and item["pid"])


def test_a_worker_that_ends_again_and_again_fails_the_start_with_its_last_words(
    checkout: PretendCheckout,
) -> None:
    (checkout.root / "worker-breaks").touch()
    done = checkout.lmaas("up", "--model", "echo")
    assert done.returncode == 5
    assert "worker does not stay up (exit 7)" in done.stderr
    assert "the engine does not fit" in done.stderr
    assert "Traceback" not in done.stderr
    assert checkout.processes() == []


@pytest.mark.parametrize("command", ["up", "down"])
def test_what_a_killed_supervisor_left_is_ended(checkout: PretendCheckout, command: str) -> None:
    _up(checkout)
    supervisor = psutil.Process(_supervisor(checkout))
    before = {process.pid for process in checkout.processes()}
    supervisor.kill()
    words = [command, "--model", "echo"] if command == "up" else [command]
    assert checkout.lmaas(*words).returncode == 0
    assert not before & {process.pid for process in checkout.processes()}
    assert _status(checkout)["healthy"] == (command == "up")


def _supervisor(checkout: PretendCheckout) -> int:
    return int(json.loads((checkout.state / "supervisor.json").read_text())["pid"])


def test_a_pid_of_yesterday_that_is_somebody_else_now_is_left_alone(
    checkout: PretendCheckout,
) -> None:
    _up(checkout)
    checkout.lmaas("down")
    file = checkout.state / "supervisor.json"
    report = json.loads(file.read_text())
    mine = os.getpid()
    report["pid"] = mine
    for item in report["processes"]:
        item["pid"], item["started"] = mine, "yesterday:1"
    file.write_text(json.dumps(report))
    assert checkout.lmaas("down").stdout.strip() == "nothing runs here"
    _up(checkout)


def test_ctrl_c_during_the_start_stops_what_was_started(checkout: PretendCheckout) -> None:
    (checkout.root / "worker-loads-for-ever").touch()
    starting = checkout.begin("up", "--model", "echo")
    eventually(lambda: bool(checkout.processes()))
    starting.send_signal(signal.SIGINT)
    output, _ = starting.communicate(timeout=60)
    assert starting.returncode == 130, output
    assert "Traceback" not in output
    assert checkout.processes() == []


def test_in_the_foreground_it_stays_until_ctrl_c(checkout: PretendCheckout) -> None:
    staying = checkout.begin("up", "--model", "echo", "--foreground", "--no-flower")
    eventually(lambda: bool(_status(checkout)["healthy"]))
    assert checkout.lmaas("up", "--foreground").returncode == 5
    staying.send_signal(signal.SIGINT)
    output, _ = staying.communicate(timeout=60)
    assert staying.returncode == 0, output
    assert "API key" in output
    assert checkout.processes() == []


def test_servers_of_the_environment_are_used_and_none_is_started(
    checkout: PretendCheckout,
) -> None:
    _up(
        checkout, DATABASE_URL="postgresql://u:p@localhost/db", REDIS_URL="redis://localhost:6379/0"
    )
    names = {item["name"] for item in _status(checkout)["processes"]}
    assert not names & {"postgres", "valkey"}
    web = psutil.Process(_pid(checkout, "web")).environ()
    assert web["DATABASE_URL"] == "postgresql+psycopg://u:p@localhost/db"


def test_a_key_that_the_database_does_not_know_is_made_anew(checkout: PretendCheckout) -> None:
    first = _up(checkout)
    checkout.lmaas("down")
    (checkout.state / "store" / "key").write_text("another")
    assert _up(checkout)["api_key"] != first["api_key"]


def test_a_state_folder_that_is_a_file_is_a_sentence(checkout: PretendCheckout) -> None:
    checkout.state.write_text("in the way")
    done = checkout.lmaas("up", "--model", "echo")
    checkout.state.unlink()
    assert done.returncode == 5
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_model_that_nobody_has_is_refused_with_the_names_there_are(
    checkout: PretendCheckout,
) -> None:
    done = checkout.lmaas("up", "--model", "nowhere")
    assert done.returncode == 5
    assert "no model 'nowhere' in the Model Store; there are echo" in done.stderr
    assert checkout.processes() == []


def test_after_a_power_cut_everything_starts_again(checkout: PretendCheckout) -> None:
    _up(checkout)
    victims = checkout.processes()
    for process in (psutil.Process(_supervisor(checkout)), *victims):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    assert (checkout.state / "supervisor.json").exists()
    assert checkout.lmaas("status").returncode == 3
    _up(checkout)
    assert _status(checkout)["healthy"]


def test_a_damaged_settings_file_is_a_sentence(checkout: PretendCheckout) -> None:
    checkout.state.mkdir()
    (checkout.state / "settings.json").write_text("{")
    for words in (("up",), ("submit", "hi")):
        done = checkout.lmaas(*words)
        assert done.returncode == 5
        assert "settings.json cannot be read" in done.stderr
        assert "Traceback" not in done.stderr
