"""A table through a model as one batch: a CSV file in, the same with a column of answers out.

What fails is run again, twice at most. The program may be stopped at any moment and
started again: it finds its batch and goes on. Needs a server: `make up`. Then:
.venv/bin/python examples/batch_pipeline.py reviews.csv answered.csv "Is this kind? {text}"
"""

import os
import sys
from pathlib import Path

from lmaas import Client
from lmaas.batch_join import Join, added_columns
from lmaas.batch_lines import CHAT, Recipe
from lmaas.tables import open_table
from lmaas.templates import template

TRIES = 3
MODEL = os.environ.get("LMAAS_MODEL", "smollm2")


def main(source: Path, target: Path, question: str) -> None:
    table = open_table(source)
    recipe = Recipe(CHAT, MODEL, prompt=template(question), body={"max_tokens": 24})
    name = f"{source.name}-{source.stat().st_mtime_ns}"
    with Client() as client:
        # The key makes it the same batch however often this runs.
        first = client.batches.create(
            recipe.lines(table), endpoint=CHAT, idempotency_key=name, dedupe=True
        )
        batches = [client.batches.wait(first)]
        while batches[-1].counts.failed and len(batches) < TRIES:
            print(f"{batches[-1].counts.failed} lines failed and run again", file=sys.stderr)
            again = client.batches.retry(batches[-1], idempotency_key=f"{name}-{len(batches)}")
            batches.append(client.batches.wait(again))
        join = Join([client.batches.results(batch) for batch in batches], None, "answer")
        rows = table.join(target, added_columns("answer"), frozenset(), join.answer)
    print(f"{target}: {rows} rows, {join.failed} without an answer", file=sys.stderr)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
