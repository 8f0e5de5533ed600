"""A bad setting stops the start with a sentence that helps and tells no secret."""

import os
import subprocess
import sys

import pytest

from jobs import settings
from jobs.errors import BadSettings
from jobs.settings import Settings
from tests.conditions import ROOT

_SECRET = "sesame-open-9911"
_URLS = {
    "DATABASE_URL": f"postgresql+psycopg://me:{_SECRET}@127.0.0.1:1/x",
    "REDIS_URL": f"redis://:{_SECRET}@127.0.0.1:1/0",
}


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("LMAAS_"):
            monkeypatch.delenv(name)
    for name, value in _URLS.items():
        monkeypatch.setenv(name, value)


def load() -> Settings:
    return settings.load.__wrapped__()


def refusal() -> str:
    with pytest.raises(BadSettings) as caught:
        load()
    return caught.value.message


def test_two_urls_are_all_that_is_needed() -> None:
    loaded = load()
    assert loaded.web_host == "127.0.0.1"
    assert loaded.models_folder == loaded.store / "models"


@pytest.mark.parametrize("name", ["DATABASE_URL", "REDIS_URL"])
def test_a_missing_url_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(name)
    assert f"{name} is not set" in refusal()


@pytest.mark.parametrize(
    ("name", "value", "expectation"),
    [
        ("LMAAS_WEB_PORT", "http", "integer"),
        ("LMAAS_WEB_PORT", "0", "greater than or equal to 1"),
        ("LMAAS_WEB_PORT", "65536", "less than or equal to 65535"),
        ("LMAAS_LEASE_S", "soon", "number"),
        ("LMAAS_LEASE_S", "-1", "greater than 0"),
        ("LMAAS_LEASE_S", "nan", "0"),
        ("LMAAS_LEASE_S", "inf", "86400"),
        ("LMAAS_SLOTS", "0", "greater than or equal to 1"),
        ("LMAAS_SLOTS", "1.5", "integer"),
        ("LMAAS_DTYPE", "float16", "'auto', 'float32' or 'bfloat16'"),
        ("LMAAS_DEVICE", "gpu", "cuda"),
        ("LMAAS_LOG_FORMAT", "xml", "'json' or 'console'"),
        ("LMAAS_MODEL", "", "at least 1 character"),
        ("LMAAS_ECHO_TOKENS_PER_S", "-3", "greater than or equal to 0"),
        ("LMAAS_PROCESS_ID", "seven", "UUID"),
        ("LMAAS_WEBHOOK_HTTP", "perhaps", "boolean"),
        ("LMAAS_WEBHOOK_PRIVATE", "10.0.0.0/8,here", "'here' does not appear to be"),
        ("LMAAS_WEBHOOK_PRIVATE", "10.0.0.1/8", "has host bits set"),
        ("LMAAS_WEBHOOK_TIMEOUT_S", "61", "less than or equal to 60"),
        ("LMAAS_FAILPOINTS", "worker.napping=kill@1", "no failpoint is named 'worker.napping'"),
    ],
)
def test_a_bad_value_is_told_with_its_variable_and_what_was_expected(
    name: str, value: str, expectation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    sentence = refusal()
    assert f"{name}={value!r}" in sentence
    assert expectation in sentence


def test_all_bad_values_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LMAAS_WEB_PORT", "a")
    monkeypatch.setenv("LMAAS_SLOTS", "b")
    monkeypatch.delenv("REDIS_URL")
    sentence = refusal()
    assert all(name in sentence for name in ("LMAAS_WEB_PORT", "LMAAS_SLOTS", "REDIS_URL"))


def test_no_sentence_and_no_representation_shows_a_password(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LMAAS_FLOWER_BASIC_AUTH", f"me:{_SECRET}")
    assert _SECRET not in repr(load()) + str(load())
    monkeypatch.setenv("LMAAS_WEB_PORT", "none")
    assert _SECRET not in refusal()


@pytest.mark.parametrize(
    ("module", "process"),
    [("api", "web"), ("dispatcher", "dispatcher"), ("workers", "worker")],
)
def test_a_process_that_cannot_start_says_so_in_one_sentence(module: str, process: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-m", module],
        cwd=ROOT,
        env=os.environ | {"LMAAS_LEASE_S": "long"},
        stdin=subprocess.DEVNULL,
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode != 0
    assert ended.stderr.startswith(f"{process} does not start: LMAAS_LEASE_S='long'")
    assert len(ended.stderr.strip().splitlines()) == 1
    assert _SECRET not in ended.stderr


@pytest.mark.parametrize("url", ["not a url", "mysql://me@nowhere/x"])
def test_a_database_url_of_the_wrong_kind_is_a_bad_setting(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", url)
    sentence = refusal()
    assert "DATABASE_URL" in sentence
    assert url not in sentence


@pytest.mark.parametrize("kind", ["postgres", "postgresql", "postgresql+psycopg"])
def test_a_database_url_may_be_spelt_as_platforms_spell_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", f"{kind}://me:pw@host:5/name")
    wanted = "postgresql+psycopg://me:pw@host:5/name"
    assert load().database_url.get_secret_value() == wanted


def test_a_redis_url_of_the_wrong_kind_is_a_bad_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "http://somewhere")
    assert "REDIS_URL" in refusal()


@pytest.mark.parametrize("keys", ["short", "c2hvcnQ=", "not base64!", ""])
def test_a_key_that_seals_nothing_is_refused_without_being_shown(
    keys: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LMAAS_WEBHOOK_KEYS", keys)
    sentence = refusal()
    assert "LMAAS_WEBHOOK_KEYS=(hidden)" in sentence
    assert "32 bytes" in sentence
    assert not keys or keys not in sentence.replace("LMAAS_WEBHOOK_KEYS", "")


def test_keys_and_networks_of_webhooks_are_lists(monkeypatch: pytest.MonkeyPatch) -> None:
    key = "A" * 43 + "="
    monkeypatch.setenv("LMAAS_WEBHOOK_KEYS", f"{key},{key}")
    monkeypatch.setenv("LMAAS_WEBHOOK_PRIVATE", "10.0.0.0/8, fd00::/8")
    loaded = load()
    assert [str(network) for network in loaded.webhook_networks] == ["10.0.0.0/8", "fd00::/8"]
    assert key not in repr(loaded)
