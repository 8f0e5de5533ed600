"""`python -m tests.compat`: other people's clients against the real stack.

SmolLM2 and MiniLM behind the front door; each client in an environment of its own under
`.lmaas/compat`, because they pin each other out. Prints a table; exit status 1 if
anything that was tried does not work.
"""

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lmaas.local.postgres import EmbeddedPostgres
from lmaas.local.valkey import EmbeddedValkey
from tests.compat.clients import CLIENTS, HOME, Client, Finding, installed, tried, version
from tests.minilm import minilm
from tests.stack import Stack


def main() -> None:
    """Tries all clients, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="folder of SmolLM2")
    parser.add_argument("--client", action="append", choices=[one.name for one in CLIENTS])
    options = parser.parse_args()
    HOME.mkdir(parents=True, exist_ok=True)
    wanted = [one for one in CLIENTS if not options.client or one.name in options.client]
    findings: list[Finding] = []
    rows: list[tuple[str, str, str, str]] = []
    with running(options.model.resolve()) as stack:
        environment = {
            "LMAAS_URL": f"{stack.http.base_url}/v1",
            "LMAAS_API_KEY": stack.key,
            "LMAAS_TOKENIZER": str(options.model.resolve()),
        }
        for client in wanted:
            found, number = _try(client, environment)
            findings += found
            rows += [(client.name, number, one.what, one.why or "works") for one in found]
            print(f"{client.name} {number}: {_count(found)}", flush=True)
    print("\n| client | version | what | |\n|---|---|---|---|")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    sys.exit(any(one.why for one in findings))


def _try(client: Client, environment: dict[str, str]) -> tuple[list[Finding], str]:
    try:
        python = installed(client)
        return tried(client, python, environment), version(client, python)
    except (OSError, subprocess.SubprocessError) as error:
        said = getattr(error, "stderr", None) or str(error)
        return [Finding(client.name, "installation", said.strip().splitlines()[-1])], "?"


def _count(findings: list[Finding]) -> str:
    bad = sum(bool(one.why) for one in findings)
    return f"{len(findings) - bad} work, {bad} do not"


@contextmanager
def running(model: Path) -> Iterator[Stack]:
    """The stack with both models."""
    with tempfile.TemporaryDirectory(prefix="lmaas-compat-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        postgres, valkey = EmbeddedPostgres(folder / "postgres"), EmbeddedValkey(folder / "valkey")
        stack = Stack(folder, database_url=postgres.start(), redis_url=valkey.start(),
                      LMAAS_DEVICE="cpu", LMAAS_THREADS="1", LMAAS_LEASE_S="45",
                      LMAAS_HEARTBEAT_S="5")  # fmt: skip
        try:
            stack.command("models_store", "import", str(model), "--name", "smollm2")
            stack.command("models_store", "import", str(minilm()), "--name", "minilm")
            stack.start("web", "dispatcher", "housekeeper")
            stack.start("worker", LMAAS_MODEL="smollm2")
            stack.start("worker.2", LMAAS_MODEL="minilm")
            stack.ready(workers=2, within_s=180)
            yield stack
        finally:
            stack.close()
            valkey.stop()
            postgres.remove()


if __name__ == "__main__":
    main()
