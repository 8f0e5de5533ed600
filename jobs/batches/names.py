"""Ids of batches on the wire: `batch_<hex>`, as OpenAI's clients know them."""

from uuid import UUID

from jobs.errors import UnknownBatch

_PREFIX = "batch_"


def batch_name(id: UUID) -> str:
    """The form of a batch's id on the wire."""
    return f"{_PREFIX}{id.hex}"


def batch_id(text: str) -> UUID:
    """The id that such a name holds. Raises `UnknownBatch` for what is none."""
    number = text.removeprefix(_PREFIX)
    try:
        if number == text or len(number) != 32:
            raise ValueError
        return UUID(hex=number)
    except ValueError:
        raise unknown_batch(text) from None


def unknown_batch(text: str) -> UnknownBatch:
    """The error that says so."""
    return UnknownBatch(
        f"there is no batch {text[:64]!r}; GET /v1/batches lists yours", param="batch_id"
    )
