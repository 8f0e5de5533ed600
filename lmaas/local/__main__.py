"""`python -m lmaas.local`: the supervisor that `lmaas up` leaves behind."""

import argparse
import sys

from lmaas.errors import LmaasError
from lmaas.local import report
from lmaas.local.checkout import find_checkout
from lmaas.local.plans import Options
from lmaas.local.supervisor import Supervisor


def main() -> int:
    """Supervises until a signal; the exit code."""
    parser = argparse.ArgumentParser(prog="python -m lmaas.local")
    parser.add_argument("--model", required=True)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--flower", action=argparse.BooleanOptionalAction, default=True)
    options = Options(**vars(parser.parse_args()))
    try:
        checkout = find_checkout()
        checkout.prepare()
        with report.supervisor_lock(checkout) as mine:
            # Another one came first; whoever waits sees its report.
            return Supervisor(checkout, options).run() if mine else 0
    except LmaasError as error:
        sys.stderr.write(f"{error.message}\n")
        return 5


if __name__ == "__main__":
    sys.exit(main())
