"""What a dry run finds out of a batch, line by line."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from jobs.batches.envelopes import Fault, TakenLine
from jobs.batches.equals import digest_of

_MOST_ERRORS = 100


@dataclass(slots=True)
class Asked:
    """What lines ask of one model version."""

    model: str
    version: int
    lines: int = 0
    prompt_tokens: int = 0
    max_tokens: int = 0


Forecast = Callable[[Asked], Mapping[str, Any]]


@dataclass(slots=True)
class Report:
    """Counts of the lines that were noted so far."""

    dedupe: bool = False
    lines: int = 0
    refused: int = 0
    jobs: int = 0
    _asked: dict[tuple[str, int], Asked] = field(default_factory=dict)
    _errors: list[dict[str, Any]] = field(default_factory=list)
    _digests: set[bytes] = field(default_factory=set)

    def note(self, line: TakenLine) -> None:
        """Counts a line."""
        self.lines += 1
        if line.fault is not None:
            self.refused += 1
            if len(self._errors) < _MOST_ERRORS:
                self._errors.append(_error(line.line, line.fault))
        if (job := line.job) is None:
            return
        if self.dedupe and (digest := digest_of(job)) is not None:
            if digest in self._digests:
                return
            self._digests.add(digest)
        self.jobs += 1
        asked = self._asked.setdefault((job.model, job.version), Asked(job.model, job.version))
        asked.lines += 1
        asked.prompt_tokens += job.prompt_tokens
        asked.max_tokens += job.max_tokens

    def told(self, forecast: Forecast) -> dict[str, Any]:
        """The report as the batch holds it; a model version's forecast beside its counts."""
        models = [
            {
                "model": f"{asked.model}@{asked.version}",
                "lines": asked.lines,
                "prompt_tokens": asked.prompt_tokens,
                "max_tokens": asked.max_tokens,
                **forecast(asked),
            }
            for asked in self._asked.values()
        ]
        times = [model["expected_s"] for model in models]
        return {
            "lines": self.lines,
            "refused": self.refused,
            "jobs": self.jobs,
            "prompt_tokens": sum(model["prompt_tokens"] for model in models),
            "max_tokens": sum(model["max_tokens"] for model in models),
            "models": models,
            "predicted_s": None if None in times else max(times, default=0.0),
            "quota": None,
            "errors": self._errors,
        }


def _error(line: int, fault: Fault) -> dict[str, Any]:
    said = fault.get("error") or fault["response"]["body"]["error"]
    return {
        "code": said["code"],
        "message": said["message"],
        "line": line,
        "param": said.get("param"),
    }
