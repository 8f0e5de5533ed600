"""A file as everybody but its writer sees it, and its name on the wire."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from jobs.content_errors import UnknownFile

PREFIX = "file-"


class Purpose(StrEnum):
    """What a file is for; OpenAI's words."""

    BATCH = "batch"
    BATCH_OUTPUT = "batch_output"
    USER_DATA = "user_data"
    EVALS = "evals"
    FINE_TUNE = "fine-tune"


# The server alone makes these.
OUTPUTS = frozenset({Purpose.BATCH_OUTPUT})


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file whose bytes can be read now. `filename` is the client's text."""

    id: UUID
    tenant_id: UUID
    content_id: UUID
    purpose: str
    filename: str
    size_bytes: int
    sha256: bytes
    created_at: datetime
    expires_at: datetime | None

    @property
    def name(self) -> str:
        """Its id on the wire."""
        return file_name(self.id)


def file_name(id: UUID) -> str:
    """`file-<hex>`, the form of a file's id on the wire."""
    return f"{PREFIX}{id.hex}"


def file_id(text: str) -> UUID:
    """The id that such a name holds. Raises `UnknownFile` for what is none."""
    prefix, number = text[: len(PREFIX)], text[len(PREFIX) :]
    try:
        # UUID() would also read braces, dashes and `urn:`.
        if prefix != PREFIX or len(number) != 32:
            raise ValueError
        return UUID(hex=number)
    except ValueError:
        raise unknown(text) from None


def unknown(text: str) -> UnknownFile:
    """The error that says so."""
    return UnknownFile(
        f"there is no file {text[:64]!r}; GET /v1/files lists yours", param="file_id"
    )
