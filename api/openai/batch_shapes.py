"""How a batch looks on the wire; see `api.openai.batch_answers`."""

from datetime import datetime
from typing import Any
from uuid import UUID

from files_store.stored_file import file_name
from jobs.batches.names import batch_name
from jobs.batches.views import BatchView


def batch(view: BatchView) -> dict[str, Any]:
    """A batch as `BatchAnswer` says."""
    counts = view.counts
    faults = view.faults
    return {
        "id": batch_name(view.id),
        "object": "batch",
        "endpoint": view.endpoint,
        "errors": None if faults is None else {"object": "list", "data": faults},
        "input_file_id": _file(view.input_file_id),
        "completion_window": view.window,
        "status": view.status,
        "output_file_id": _file(view.output_file_id),
        "error_file_id": _file(view.error_file_id),
        "created_at": int(view.created_at.timestamp()),
        "in_progress_at": _seconds(view.in_progress_at),
        "expires_at": int(view.expires_at.timestamp()),
        "finalizing_at": _seconds(view.finalizing_at),
        "completed_at": _seconds(view.completed_at),
        "failed_at": _seconds(view.failed_at),
        "expired_at": _seconds(view.expired_at),
        "cancelling_at": _seconds(view.cancelling_at),
        "cancelled_at": _seconds(view.cancelled_at),
        "request_counts": {
            "total": counts.total,
            "completed": counts.succeeded,
            "failed": counts.refused + counts.unsuccessful,
        },
        "usage": _usage(view),
        "metadata": view.labels or None,
        "priority": view.priority,
        "paused": view.paused,
        "open": view.open,
        "dedupe": view.dedupe,
        "retry_of": None if view.retry_of is None else batch_name(view.retry_of),
        "dry_run": view.report,
    }


def _file(id: UUID | None) -> str | None:
    return None if id is None else file_name(id)


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())


def _usage(view: BatchView) -> dict[str, Any] | None:
    if view.prompt_tokens is None or view.completion_tokens is None:
        return None
    return {
        "input_tokens": view.prompt_tokens,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": view.completion_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": view.prompt_tokens + view.completion_tokens,
    }
