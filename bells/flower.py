"""`python -m bells.flower`: Flower on loopback, read-only, behind a password.

It shows workers, the queues of the model versions and the `jobs.run` tasks;
their arguments are ids. The password stays out of the process list.
"""

import sys

import flower.options  # noqa: F401 - defines the options that are set here
from tornado.options import options

from bells.celery_app import make_app
from jobs.errors import BadSettings
from jobs.settings import load


def main() -> None:
    """Runs Flower until it is stopped; refuses to run without a password."""
    try:
        settings = load()
        if settings.flower_basic_auth is None:
            raise BadSettings(
                "LMAAS_FLOWER_BASIC_AUTH is not set; Flower does not run without a password "
                "(expected user:password)"
            )
    except BadSettings as error:
        sys.exit(f"flower does not start: {error.message}")
    options.basic_auth = [settings.flower_basic_auth.get_secret_value()]
    arguments = [
        "flower",
        "--address=127.0.0.1",
        f"--port={settings.flower_port}",
        "--read-only",
    ]
    make_app(settings, watches=True).start(arguments)


if __name__ == "__main__":
    main()
