"""What is kept in .lmaas, and how it is read again."""

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from lmaas import Client
from lmaas.address import find_address
from lmaas.errors import BadUsage, NotACheckout, StateUnusable
from lmaas.local import report
from lmaas.local.checkout import Checkout, find_checkout
from lmaas.local.memory import Memory
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
    assert (find_address().url, find_address().api_key) == ("http://127.0.0.1:8123", "secret")


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
