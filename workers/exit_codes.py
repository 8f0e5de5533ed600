"""Exit codes of a worker process that its parent and people tell apart (sysexits.h)."""

from jobs.threads import EXIT_SOFTWARE

# The engine broke; the next start may be better.
ENGINE = EXIT_SOFTWARE
# The model's files are damaged; the next start is better once they are put back.
CORRUPT = 65
# A setting or the model is wrong; starting again is of no use.
CONFIG = 78
