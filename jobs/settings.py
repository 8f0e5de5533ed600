"""The one place that reads the environment.

Every process starts with `load()`; a missing or bad value stops the start
with a sentence that names the variable, the value and what was expected.
"""

import base64
import os
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Literal
from uuid import UUID

from pydantic import AfterValidator, Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs import failpoints
from jobs.errors import BadSettings


def _postgres(url: SecretStr) -> SecretStr:
    # Platforms set postgres://, which SQLAlchemy does not know.
    kind, _, rest = url.get_secret_value().partition("://")
    if kind not in ("postgres", "postgresql", "postgresql+psycopg") or not rest:
        raise ValueError("expected postgresql://user:password@host:port/database")
    return SecretStr(f"postgresql+psycopg://{rest}")


def _redis(url: SecretStr) -> SecretStr:
    if not url.get_secret_value().startswith(("redis://", "rediss://")):
        raise ValueError("expected redis://:password@host:port/0, or rediss:// for TLS")
    return url


def _failpoints(text: str) -> str:
    failpoints.parse(text)
    return text


def _networks(text: str) -> str:
    for network in filter(None, text.split(",")):
        ip_network(network.strip())
    return text


def _fernet_keys(keys: SecretStr) -> SecretStr:
    for key in keys.get_secret_value().split(","):
        # Said without the key: this sentence goes to a log.
        try:
            fits = len(base64.urlsafe_b64decode(key)) == 32
        except ValueError:
            fits = False
        if not fits:
            raise ValueError("expected keys of 32 bytes in urlsafe base64, separated by commas")
    return keys


Seconds = Annotated[float, Field(gt=0, le=86_400)]
Port = Annotated[int, Field(ge=1, le=65_535)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
FileBytes = Annotated[int, Field(ge=1, le=10**12)]


class Settings(BaseSettings):
    """What can be set. A field's variable is LMAAS_ and its name in capitals,
    except DATABASE_URL and REDIS_URL, which platforms set under these names."""

    model_config = SettingsConfigDict(env_prefix="LMAAS_", frozen=True, extra="ignore")

    database_url: Annotated[SecretStr, AfterValidator(_postgres)] = Field(
        validation_alias="DATABASE_URL"
    )
    redis_url: Annotated[SecretStr, AfterValidator(_redis)] = Field(validation_alias="REDIS_URL")
    store: Path = Field(
        default=Path(".lmaas/store"),
        description="folder that all processes share: models, and files if LMAAS_FILES is not set",
    )
    files: str = Field(
        default="",
        description="where files lie: a folder that all processes share, or any fsspec URL "
        "(s3://bucket/prefix with s3fs installed); default: `files` in the store",
    )
    max_file_bytes: FileBytes = Field(default=200_000_000, description="of one file")
    max_upload_bytes: FileBytes = Field(
        default=2_000_000_000, description="of a file that comes in parts"
    )
    log_format: Literal["json", "console"] = "json"

    # web
    web_host: str = Field(default="127.0.0.1", min_length=1)
    web_port: Port = 8080
    web_processes: Count = Field(default_factory=lambda: max(1, min(4, os.cpu_count() or 1)))
    max_waiters: Count = Field(default=256, description="waiting polls per web process")
    max_body_bytes: Count = 1_000_000
    max_transfers: Count = Field(
        default=16, description="files that come and go at once per web process"
    )

    # dispatcher and leases
    tick_s: Seconds = 1.0
    lease_s: Seconds = 45.0
    heartbeat_s: Seconds = 10.0

    # worker
    model: str = Field(default="smollm2-135m-instruct", min_length=1)
    device: str = Field(default="auto", pattern=r"^(auto|cpu|cuda:\d{1,2})$")
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    slots: Count = Field(default=128, description="sequences in one engine's batch")
    kv_tokens: int = Field(
        default=0, ge=0, description="KV cache budget in tokens; 0 = from the free memory"
    )
    threads: int = Field(default=0, ge=0, description="torch threads; 0 = torch's choice")
    load_s: Seconds = Field(default=600.0, description="the longest a model may take to load")
    step_s: Seconds = Field(default=60.0, description="an engine step longer than this is a hang")
    drain_s: Seconds = Field(default=30.0, description="how long a stopping worker may finish jobs")
    restart_pause_s: Seconds = Field(
        default=0.5, description="before a dead worker's next start; doubled each time"
    )
    process_id: UUID | None = Field(
        default=None, description="set by the worker's parent for its child"
    )
    echo_tokens_per_s: float = Field(
        default=0, ge=0, description="speed of the echo engine for each sequence; 0 = at once"
    )

    echo_poison: str = Field(
        default="", description="a prompt with this text ends the echo worker: for tests of that"
    )

    failpoints: Annotated[str, AfterValidator(_failpoints)] = Field(
        default="", description="where this process dies, sleeps or fails: for tests of that"
    )

    # webhooks
    webhook_http: bool = Field(default=False, description="http:// too; for development")
    webhook_private: Annotated[str, AfterValidator(_networks)] = Field(
        default="", description="networks of one's own that webhooks may reach, by commas"
    )
    webhook_keys: Annotated[SecretStr, AfterValidator(_fernet_keys)] | None = Field(
        default=None, description="seal the secrets of webhooks; the first seals, all open"
    )
    webhook_timeout_s: Annotated[float, Field(gt=0, le=60)] = Field(
        default=15.0, description="the longest an attempt may take"
    )
    webhook_pause_s: Seconds = Field(
        default=5.0, description="before the second attempt; tripled each time, up to 4 hours"
    )

    # flower
    flower_port: Port = 5555
    flower_basic_auth: SecretStr | None = None

    @property
    def files_url(self) -> str:
        """Where the contents of files lie; a folder or an fsspec URL."""
        return self.files or str((self.store / "files").absolute())

    @property
    def webhook_networks(self) -> tuple[IPv4Network | IPv6Network, ...]:
        """The networks of `webhook_private`."""
        given = filter(None, self.webhook_private.split(","))
        return tuple(ip_network(network.strip()) for network in given)

    @property
    def models_folder(self) -> Path:
        """Where the Model Store keeps its versions."""
        return self.store / "models"


def _sentence(error: ValidationError) -> str:
    lines = []
    for item in error.errors():
        field = str(item["loc"][0])
        variable = field if field.isupper() else f"LMAAS_{field.upper()}"
        if item["type"] == "missing":
            lines.append(f"{variable} is not set; it is needed (`lmaas up` sets it)")
            continue
        shown = (
            "(hidden)"
            if "URL" in variable or "AUTH" in variable or "KEYS" in variable
            else repr(item["input"])
        )
        lines.append(f"{variable}={shown} is not usable: {item['msg']}")
    return "; ".join(lines)


@cache
def load() -> Settings:
    """The settings of this process, read once.

    Raises `BadSettings` with a sentence for each variable that is missing or
    of the wrong type.
    """
    try:
        return Settings()  # pyright: ignore[reportCallIssue]  # fields come from the environment
    except ValidationError as error:
        raise BadSettings(_sentence(error)) from error
