"""Exit codes of a worker process that its parent and people tell apart (sysexits.h)."""

from jobs.threads import EXIT_SOFTWARE

# The engine broke; the next start may be better.
ENGINE = EXIT_SOFTWARE
# A setting, the model or its files are wrong; starting again is of no use.
CONFIG = 78
