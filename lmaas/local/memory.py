"""What is kept from start to start: passwords, ports, API keys. Readable for its owner only."""

import json
import os
import secrets
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Self

from lmaas.errors import StateUnusable


def _secret() -> str:
    return secrets.token_urlsafe(24)


@dataclass(frozen=True, slots=True)
class Memory:
    """One checkout's memory. `api_key` belongs to `database`, a fingerprint of its URL."""

    postgres_password: str = field(default_factory=_secret, repr=False)
    valkey_password: str = field(default_factory=_secret, repr=False)
    flower_password: str = field(default_factory=_secret, repr=False)
    ports: dict[str, int] = field(default_factory=dict)
    api_keys: dict[str, str] = field(default_factory=dict, repr=False)
    database: str = ""
    models: dict[str, list[str]] = field(default_factory=dict)
    default_model: str = ""

    @property
    def api_key(self) -> str | None:
        """The key for the database that was used last."""
        return self.api_keys.get(self.database)

    @classmethod
    def read(cls, file: Path) -> Self | None:
        """What was written, None if nothing was; raises `StateUnusable` if it is damaged."""
        try:
            body = json.loads(file.read_text())
            if not isinstance(body, dict):
                raise TypeError("not a JSON object")
            return cls(**{name: body[name] for name in cls.__slots__ if name in body})
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError) as error:
            raise StateUnusable(
                f"{file} cannot be read ({error}); it holds the embedded servers' passwords: "
                "repair it, or delete the folder it is in to start afresh without the old jobs"
            ) from error

    def write(self, file: Path) -> None:
        """Replaces the file in one step, mode 0600."""
        write_private(file, json.dumps(asdict(self), indent=1))

    def with_key(self, key: str) -> Self:
        """The same with a new API key for the database in use."""
        return replace(self, api_keys={**self.api_keys, self.database: key})

    def with_models(self, names: list[str]) -> Self:
        """The same with the models that are known to be in this database's store."""
        known = sorted({*self.models.get(self.database, []), *names})
        return replace(self, models={**self.models, self.database: known})


def write_private(file: Path, text: str) -> None:
    """Writes aside, then renames: a reader sees the old or the new, never half."""
    aside = file.with_name(f"{file.name}.{os.getpid()}")
    try:
        descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as opened:
            opened.write(text)
        aside.replace(file)
    except OSError as error:
        raise StateUnusable(f"{file} cannot be written: {error.strerror}") from error
