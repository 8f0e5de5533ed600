"""Vectors of texts, as one job that is waited for."""

from collections.abc import Sequence
from typing import Any, Protocol

from lmaas.answers import Job, Result


class _Submits(Protocol):
    """What is used of a client."""

    def submit(self, *, model: str, **options: Any) -> Job: ...

    def result(self, job: Job, timeout_s: float | None = None) -> Result: ...


class Embedding:
    """The part of `lmaas.Client` that embeds."""

    def embed(
        self: _Submits,
        texts: str | Sequence[str],
        *,
        model: str,
        normalize: bool | None = None,
        timeout_s: float | None = None,
        **options: Any,
    ) -> list[tuple[float, ...]]:
        """A vector of each text (at most 2,048), in their order.

        `normalize` makes their length 1, None leaves it to the model. `options`
        are those of `submit`; raises what `submit` and `result` raise.
        """
        items = [texts] if isinstance(texts, str) else list(texts)
        job = self.submit(model=model, input={"input": items}, normalize=normalize, **options)
        return list(self.result(job, timeout_s).embeddings)
