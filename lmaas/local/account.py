"""The account that Postgres runs under: it refuses to run as root."""

import os
import pwd
import stat
from dataclasses import dataclass
from pathlib import Path

from lmaas.errors import StartFailed


@dataclass(frozen=True, slots=True)
class Account:
    """A user that a server is started as."""

    name: str
    uid: int
    gid: int


def unprivileged() -> Account | None:
    """None where the current user will do; for root `postgres`, else `nobody`."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return Account(name, entry.pw_uid, entry.pw_gid)
    raise StartFailed(
        "Postgres does not run as root, and this machine has neither a user `postgres` nor "
        "`nobody`; run as another user, or set DATABASE_URL to a Postgres of yours"
    )


def can_reach(account: Account | None, folder: Path) -> bool:
    """Whether the account may pass through every folder down to this one."""
    if account is None:
        return True
    return all(_may_pass(account, part) for part in (folder, *folder.parents) if part.exists())


def _may_pass(account: Account, folder: Path) -> bool:
    info = folder.stat()
    if info.st_uid == account.uid:
        return bool(info.st_mode & stat.S_IXUSR)
    if info.st_gid == account.gid:
        return bool(info.st_mode & stat.S_IXGRP)
    return bool(info.st_mode & stat.S_IXOTH)


def own(account: Account | None, folder: Path) -> None:
    """Makes the folder, readable for the account alone."""
    folder.mkdir(parents=True, exist_ok=True)
    if account is not None:
        os.chown(folder, account.uid, account.gid)
    folder.chmod(0o700)


def open_way(folder: Path, top: Path) -> None:
    """Makes the folders from `top` down so that every user may pass, whatever the umask."""
    for part in (top, *reversed([p for p in (folder, *folder.parents) if top in p.parents])):
        part.mkdir(parents=True, exist_ok=True)
        part.chmod(0o755)
