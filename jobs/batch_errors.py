"""What can be wrong with what is asked of a batch; part of the tree in `jobs.errors`."""

from jobs.errors import InvalidRequest, LmaasError


class UnknownLine(LmaasError):
    """The batch has no such line."""

    code = "line_not_found"


class BatchStateConflict(LmaasError):
    """What is asked of the batch cannot be done in the state it is in."""

    code = "batch_state_conflict"


class BatchClosed(BatchStateConflict):
    """The batch takes no more lines."""

    code = "batch_closed"


class LineShared(BatchStateConflict):
    """The line has its job in common with others; ending it would end them."""

    code = "line_shared"


class TooManyLines(InvalidRequest):
    """A batch would have more lines than it may."""

    code = "too_many_lines"
