"""Which parameters each task type has."""

from jobs.errors import UnsupportedParameter
from jobs.spec import Parameters, Task

# The fields of `Parameters` that each task obeys; the others are refused by name.
_EMBEDS = frozenset({"normalize"})
_WRITES = frozenset(Parameters.model_fields) - _EMBEDS
TASK_PARAMETERS: dict[Task, frozenset[str]] = {
    Task.GENERATE: _WRITES,
    Task.CHAT: _WRITES,
    Task.EMBED: _EMBEDS,
}


def check_names(task: Task, parameters: Parameters) -> None:
    """Raises `UnsupportedParameter` for one that means nothing for this task."""
    for name in sorted(parameters.model_fields_set - TASK_PARAMETERS[task]):
        known = ", ".join(sorted(TASK_PARAMETERS[task]))
        raise UnsupportedParameter(
            f"the task {task.value!r} has no parameter {name!r}; it has {known}",
            param=f"parameters.{name}",
        )
