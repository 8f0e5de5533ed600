"""The files of a Postgres cluster: where they may lie, and how they are made."""

import hashlib
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lmaas.errors import StartFailed
from lmaas.local import account as accounts
from lmaas.local import postgres_binaries, process

USER = DATABASE = "lmaas"


def reachable(folder: Path, account: accounts.Account | None) -> Path:
    """The folder, or one under /var/lib/lmaas if the account cannot get there."""
    if accounts.can_reach(account, folder.parent):
        return folder
    key = hashlib.sha256(str(folder).encode()).hexdigest()[:12]
    return postgres_binaries.PUBLIC / key / folder.name


def prepare(folder: Path, account: accounts.Account | None) -> None:
    """Makes the folder for the account; raises `StartFailed` where that is refused."""
    try:
        if folder.is_relative_to(postgres_binaries.PUBLIC):
            accounts.open_way(folder.parent, postgres_binaries.PUBLIC)
        accounts.own(account, folder)
    except OSError as error:
        raise StartFailed(f"{folder} cannot be made for Postgres: {error}") from error


def remove(folder: Path) -> None:
    """Deletes a stopped server's folder, and the one made around it under /var/lib/lmaas."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.is_relative_to(postgres_binaries.PUBLIC):
        shutil.rmtree(folder.parent, ignore_errors=True)


def create(
    data: Path,
    binaries: Path,
    account: accounts.Account | None,
    *,
    password: str,
    fsync: bool,
) -> None:
    """Makes the cluster and its database aside and moves it in place, so that
    half a cluster never counts as one."""
    folder = data.parent
    fresh = folder / f"{data.name}.new"
    for leftover in (fresh, data):
        shutil.rmtree(leftover, ignore_errors=True)
    words = folder / f"password.{secrets.token_hex(4)}"
    words.touch(mode=0o600)
    words.write_text(password)
    if account is not None:
        os.chown(words, account.uid, account.gid)
    options: list[str | Path] = ["-D", fresh, "-U", USER, "-E", "UTF8", "--auth=scram-sha-256"]
    options += [f"--pwfile={words}", *([] if fsync else ["--no-sync"])]
    try:
        _run([binaries / "initdb", *options, "--locale=C.UTF-8"], folder, account)
    finally:
        words.unlink(missing_ok=True)
    single: list[str | Path] = [binaries / "postgres", "--single", "-F", "-D", fresh, "postgres"]
    _run(single, folder, account, f"CREATE DATABASE {DATABASE};\n")
    fresh.rename(data)


def _run(
    command: Sequence[str | Path], folder: Path, account: accounts.Account | None, text: str = ""
) -> None:
    done = subprocess.run(
        command,
        input=text,
        cwd=folder,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        user=account.uid if account else None,
        group=account.gid if account else None,
        extra_groups=[] if account else None,
    )
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise StartFailed(f"{Path(command[0]).name} failed in {folder}: {' '.join(last)}")


def check_version(data: Path, binaries: Path) -> None:
    """Raises `StartFailed` if other binaries than these made the data."""
    made_by = (data / "PG_VERSION").read_text().strip()
    version = postgres_binaries.major(binaries)
    if str(version) != made_by:
        raise StartFailed(
            f"the data in {data} belong to Postgres {made_by}, but {binaries} has version "
            f"{version}; set LMAAS_POSTGRES_BIN to version {made_by}, or move the data away"
        )


def end_leftover(data: Path) -> None:
    """Ends a postmaster that an earlier owner left on this data, and its lock file.

    Its working folder proves that it is that one: a pid may be used again.
    """
    lines = lock_file(data)
    if not lines or not lines[0].isdigit():
        return
    leftover = process.identify(int(lines[0]))
    if leftover is not None and process.works_in(leftover.pid, data):
        process.end(leftover, signal.SIGINT, 60)
    (data / "postmaster.pid").unlink(missing_ok=True)


def lock_file(data: Path) -> list[str]:
    """The lines of postmaster.pid: line 1 is the pid, line 8 the server's state."""
    try:
        return (data / "postmaster.pid").read_text().splitlines()
    except OSError:
        return []


def environment() -> dict[str, str]:
    """What Postgres sees of the environment: nothing that could change its mind."""
    return {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C.UTF-8", "TZ": "UTC"}
