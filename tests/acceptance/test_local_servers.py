"""The embedded Postgres and Valkey: real, private, and back after anything."""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import redis

from lmaas.errors import MissingPackage, StartFailed
from lmaas.local import postgres_binaries, valkey
from lmaas.local.account import Account, can_reach
from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.conditions import ROOT, eventually


@pytest.fixture
def postgres(tmp_path: Path) -> Iterator[EmbeddedPostgres]:
    server = EmbeddedPostgres(tmp_path / "postgres", fsync=False)
    yield server
    server.remove()


@pytest.fixture
def kept_valkey(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(tmp_path / "valkey")
    yield server
    server.stop()


def _query(url: str, statement: str) -> list[tuple[object, ...]]:
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement)
        return cursor.fetchall() if cursor.description else []


def test_postgres_listens_on_loopback_with_a_password_only(postgres: EmbeddedPostgres) -> None:
    url = postgres.start()
    wrong = url.replace(postgres.password, "wrong")
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        _query(wrong, "SELECT 1")
    assert _query(url, "SHOW listen_addresses") == [("127.0.0.1",)]
    assert _query(url, "SHOW unix_socket_directories") == [("",)]
    assert _query(url, "SHOW password_encryption") == [("scram-sha-256",)]
    assert _query(url, "SELECT datcollate FROM pg_database WHERE datname = 'lmaas'") == [
        ("C.UTF-8",)
    ]


def test_postgres_keeps_data_and_url_over_stop_and_kill(postgres: EmbeddedPostgres) -> None:
    url = postgres.start()
    _query(url, "CREATE TABLE kept (x int)")
    postgres.stop()
    assert postgres.pid is None
    assert postgres.start() == url
    _query(url, "INSERT INTO kept VALUES (7)")
    postgres.kill()
    assert (postgres.data / "postmaster.pid").exists()
    assert postgres.start() == url
    assert _query(url, "SELECT x FROM kept") == [(7,)]


def test_postgres_starts_over_a_lock_file_whose_pid_is_somebody_else_now(
    postgres: EmbeddedPostgres,
) -> None:
    postgres.start()
    postgres.kill()
    lock = postgres.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    lock.write_text("\n".join([str(os.getpid()), *lines[1:]]) + "\n")
    postgres.start()
    assert postgres.pid not in (None, os.getpid())


def test_a_second_owner_ends_the_first_postmaster_on_the_same_data(tmp_path: Path) -> None:
    first = EmbeddedPostgres(tmp_path / "postgres", fsync=False)
    url = first.start()
    _query(url, "CREATE TABLE kept (x int)")
    second = EmbeddedPostgres(tmp_path / "postgres", password=first.password, fsync=False)
    second_url = second.start()
    assert first.pid is None
    assert _query(second_url, "SELECT * FROM kept") == []
    first.stop()
    second.remove()


def test_postgres_stops_fast_and_cleanly_when_its_starter_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path;"
        "from lmaas.local.postgres import EmbeddedPostgres;"
        "s = EmbeddedPostgres(Path(sys.argv[1]), password='p', fsync=False); s.start();"
        "print(s.pid, s.log, flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "postgres")]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        pid, log = starter.stdout.readline().split()
        starter.kill()
    eventually(lambda: not psutil.pid_exists(int(pid)))
    assert "received fast shutdown request" in Path(log).read_text()
    EmbeddedPostgres(tmp_path / "postgres").remove()


def test_a_port_that_was_taken_meanwhile_is_given_up(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    with socket.create_server(("127.0.0.1", postgres.port or 0)) as other:
        url = postgres.start()
        assert f":{other.getsockname()[1]}/" not in url
        assert _query(url, "SELECT 1") == [(1,)]


def test_a_cluster_that_is_half_made_is_made_again(postgres: EmbeddedPostgres) -> None:
    postgres.folder.mkdir(parents=True)
    (postgres.folder / "data.new").mkdir()
    postgres.data.mkdir()
    assert _query(postgres.start(), "SELECT 1") == [(1,)]


def test_data_of_another_version_are_refused_with_a_sentence(postgres: EmbeddedPostgres) -> None:
    postgres.start()
    postgres.stop()
    (postgres.data / "PG_VERSION").write_text("14\n")
    with pytest.raises(StartFailed, match="belong to Postgres 14"):
        postgres.start()


def test_without_binaries_the_sentence_names_the_package(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(postgres_binaries, "_candidates", lambda setting: iter([tmp_path]))
    monkeypatch.setattr(valkey, "find_spec", lambda name: None)
    monkeypatch.setattr(shutil, "which", lambda name: None)
    with pytest.raises(MissingPackage, match=r"lmaas\[embedded\]"):
        postgres_binaries.find()
    with pytest.raises(MissingPackage, match=r"lmaas\[embedded\]"):
        valkey.find()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root starts servers as another user")
def test_root_runs_postgres_as_another_user_from_where_that_one_can_go(tmp_path: Path) -> None:
    """A private home: neither data nor binaries below it can be reached by another user."""
    home = tmp_path / "home"
    home.mkdir(mode=0o700)
    install = postgres_binaries.find().parent
    package = home / install.parent.name
    shutil.copytree(install, package / install.name)
    libraries = f"{install.parent.name}.libs"
    if (install.parents[1] / libraries).exists():
        shutil.copytree(install.parents[1] / libraries, home / libraries)
    folder = str(package / install.name / "bin")
    server = EmbeddedPostgres(home / "state", fsync=False, binaries=folder)
    copied: Path | None = None
    try:
        assert _query(server.start(), "SELECT 1") == [(1,)]
        assert server.pid is not None
        running = psutil.Process(server.pid)
        copied = Path(running.exe()).parents[3]
        assert running.uids().real == server.data.stat().st_uid != 0
        assert not copied.is_relative_to(home)
        assert not server.folder.is_relative_to(home)
    finally:
        server.remove()
        if copied is not None:
            shutil.rmtree(copied)


def test_who_may_pass_a_folder_is_read_from_its_mode(tmp_path: Path) -> None:
    nobody = pwd.getpwnam("nobody")
    account = Account("nobody", nobody.pw_uid, nobody.pw_gid)
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    assert not can_reach(account, closed)
    assert can_reach(account, Path("/"))
    assert can_reach(None, closed)


def test_valkey_needs_its_password_and_keeps_nothing_on_its_command_line(
    kept_valkey: EmbeddedValkey,
) -> None:
    url = kept_valkey.start()
    assert kept_valkey.pid is not None
    words = " ".join(psutil.Process(kept_valkey.pid).cmdline())
    assert kept_valkey.password not in words
    with (
        redis.Redis(port=kept_valkey.port or 0) as stranger,
        pytest.raises(redis.AuthenticationError),
    ):
        stranger.ping()
    with redis.Redis.from_url(url) as client:
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("bind") == {"bind": "127.0.0.1"}


def test_valkey_comes_back_with_its_data_or_empty_as_wanted(kept_valkey: EmbeddedValkey) -> None:
    url = kept_valkey.start()
    with redis.Redis.from_url(url) as client:
        client.set("a", "1")
    kept_valkey.kill()
    assert kept_valkey.start() == url
    with redis.Redis.from_url(url) as client:
        assert client.get("a") == b"1"
    kept_valkey.kill()
    kept_valkey.wipe()
    assert kept_valkey.start() == url
    with redis.Redis.from_url(url) as client:
        assert client.get("a") is None


def test_a_frozen_valkey_is_still_stopped(kept_valkey: EmbeddedValkey) -> None:
    kept_valkey.start()
    assert kept_valkey.pid is not None
    os.kill(kept_valkey.pid, signal.SIGSTOP)
    kept_valkey.stop(timeout_s=0.5)
    assert kept_valkey.pid is None
