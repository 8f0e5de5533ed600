"""How the result of an `embed` job looks as a list of embeddings."""

from typing import Any

from jobs import embeddings
from jobs.job_views import JobView
from routing.openai.completion_shapes import reference


def of_view(view: JobView, encoding_format: str) -> dict[str, Any]:
    """The body of the answer, for a job that succeeded."""
    return {
        "object": "list",
        "data": [
            {
                "object": "embedding",
                "index": index,
                "embedding": text if encoding_format == "base64" else embeddings.numbers(text),
            }
            for index, text in enumerate(embeddings.of_details(view.details))
        ],
        "model": reference(view),
        "usage": {"prompt_tokens": view.prompt_tokens, "total_tokens": view.prompt_tokens},
    }
