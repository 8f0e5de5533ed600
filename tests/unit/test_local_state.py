"""What is kept in .lmaas, and how it is read again."""

import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lmaas import Client
from lmaas.address import find_address
from lmaas.cli import main
from lmaas.errors import BadUsage, NotACheckout, NothingRuns, StartFailed, StateUnusable
from lmaas.local import environment, report
from lmaas.local.checkout import Checkout, find_checkout
from lmaas.local.memory import Memory
from lmaas.local.orphans import MARK
from lmaas.local.report import ProcessReport, Report


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Checkout:
    for mark in ("Procfile", "setup.cfg"):
        (tmp_path / mark).touch()
    for folder in ("workers", "dispatcher", "deep/down"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "deep" / "down")
    for name in ("LMAAS_STATE", "LMAAS_URL", "LMAAS_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    found = find_checkout()
    found.prepare()
    return found


def test_the_checkout_is_found_from_a_folder_inside_it(checkout: Checkout, tmp_path: Path) -> None:
    assert checkout == Checkout(tmp_path, tmp_path / ".lmaas")


def test_the_state_can_be_elsewhere(
    checkout: Checkout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAAS_STATE", str(tmp_path / "other"))
    assert find_checkout().state == tmp_path / "other"


def test_no_checkout_is_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("lmaas.local.checkout._MARKS", ("no such mark",))
    with pytest.raises(NotACheckout, match="LMAAS_URL"):
        find_checkout()


def test_the_memory_is_private_and_comes_back_equal(checkout: Checkout) -> None:
    memory = replace(Memory(), database="d", ports={"web": 8080}).with_key("secret")
    memory = memory.with_models(["echo"]).with_models(["smollm2"])
    memory.write(checkout.memory_file)
    assert Memory.read(checkout.memory_file) == memory
    assert stat.S_IMODE(checkout.memory_file.stat().st_mode) == 0o600
    assert memory.models == {"d": ["echo", "smollm2"]}


def test_secrets_are_new_each_time_and_not_in_a_repr() -> None:
    one, two = Memory(), Memory()
    assert one.postgres_password != two.postgres_password
    assert one.postgres_password not in repr(one)


def test_a_key_belongs_to_one_database(checkout: Checkout) -> None:
    memory = replace(Memory(), database="one").with_key("secret")
    assert memory.api_key == "secret"
    assert replace(memory, database="two").api_key is None


@pytest.mark.parametrize("text", ["", "{", "[]", '"a"'])
def test_a_damaged_memory_is_a_sentence(checkout: Checkout, text: str) -> None:
    checkout.memory_file.write_text(text)
    with pytest.raises(StateUnusable, match=r"settings\.json"):
        Memory.read(checkout.memory_file)


def test_a_state_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StateUnusable, match="LMAAS_STATE"):
        Checkout(tmp_path, tmp_path / "file" / "state").prepare()


def test_a_client_finds_the_server_of_its_checkout_and_its_key(checkout: Checkout) -> None:
    with pytest.raises(BadUsage, match="lmaas up"):
        Client()
    memory = replace(Memory(), database="d", ports={"web": 8123}).with_key("secret")
    memory.write(checkout.memory_file)
    with report.supervisor_lock(checkout):
        assert (find_address().url, find_address().api_key) == ("http://127.0.0.1:8123", "secret")


def test_a_client_of_a_checkout_where_nothing_runs_is_told_so_at_once(checkout: Checkout) -> None:
    replace(Memory(), ports={"web": 8123}).write(checkout.memory_file)
    with pytest.raises(NothingRuns, match="lmaas up"):
        Client()
    with Client("http://127.0.0.1:8123") as elsewhere:
        assert elsewhere.base_url == "http://127.0.0.1:8123"


@pytest.mark.parametrize("words", [("ls",), ("exec", "python", "-c", "raise SystemExit(9)")])
def test_a_command_where_nothing_runs_is_exit_3_and_one_sentence(
    checkout: Checkout, capsys: pytest.CaptureFixture[str], words: tuple[str, ...]
) -> None:
    replace(Memory(), ports={"web": 8123}).write(checkout.memory_file)
    checkout.environment_file.write_text("{}")  # left behind by a supervisor that was killed
    with pytest.raises(SystemExit) as ended:
        main(list(words))
    assert ended.value.code == 3
    assert capsys.readouterr().err == "lmaas: nothing runs here; `lmaas up` starts it\n"


def test_a_command_beside_the_processes_shares_their_settings_and_is_none_of_them(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAAS_URL", "https://elsewhere.example")
    theirs = {"DATABASE_URL": "d", "LMAAS_STORE": "s", "LMAAS_URL": "u", MARK: "m", "OTHER": "o"}
    with report.supervisor_lock(checkout):
        with pytest.raises(StartFailed, match="begins to start"):
            environment.beside(checkout)
        checkout.environment_file.write_text(json.dumps(environment.shared(theirs)))
        mine = environment.beside(checkout)
    assert (mine["DATABASE_URL"], mine["LMAAS_STORE"]) == ("d", "s")
    assert mine["LMAAS_URL"] == "https://elsewhere.example"
    assert mine["PYTHONPATH"].split(os.pathsep)[0] == str(checkout.root)
    assert not {MARK, "OTHER"} & set(mine)


def test_the_checkouts_key_is_never_sent_to_another_server(
    checkout: Checkout, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = replace(Memory(), database="d", ports={"web": 8123}).with_key("secret")
    memory.write(checkout.memory_file)
    assert find_address("https://elsewhere.example").api_key is None
    monkeypatch.setenv("LMAAS_URL", "https://elsewhere.example")
    assert find_address().api_key is None


def test_a_report_comes_back_equal_and_damage_counts_as_none(checkout: Checkout) -> None:
    process = ProcessReport("web", "running", 7, "boot:1", 1.5, 0, None, "web.log")
    written = Report("ready", "ready", 5, "boot:0", 1.0, 3.5, (process,), {"api": "u"}, ("note",))
    report.write(written, checkout.report_file)
    assert report.read(checkout.report_file) == written
    checkout.report_file.write_text("{")
    assert report.read(checkout.report_file) is None


def test_one_supervisor_at_a_time_and_none_after_it_let_go(checkout: Checkout) -> None:
    assert not report.supervisor_lives(checkout)
    with report.supervisor_lock(checkout) as first, report.supervisor_lock(checkout) as second:
        assert (first, second) == (True, False)
        assert report.supervisor_lives(checkout)
    assert not report.supervisor_lives(checkout)
