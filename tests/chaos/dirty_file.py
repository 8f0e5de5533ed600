"""Files of a batch as people send them: good lines, and dirt of every kind between."""

import json
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

URL = "/v1/completions"


@dataclass(frozen=True, slots=True)
class DirtyFile:
    """The bytes; the ids of its good lines, of its bad lines that have one, and how
    many bad lines have none. `texts` are the answers that good lines lead to."""

    data: bytes
    good: Sequence[str]
    bad: Sequence[str]
    nameless: int
    texts: dict[str, str]

    @property
    def lines(self) -> int:
        """All requests in it."""
        return len(self.good) + len(self.bad) + self.nameless


def line(custom_id: str, text: str, model: str = "echo", **more: Any) -> str:
    """One line, which the echo engine answers with its own text."""
    body = {"model": model, "prompt": text, "max_tokens": len(text.encode()), "temperature": 0}
    return json.dumps({"custom_id": custom_id, "method": "POST", "url": URL,
                       "body": body | more})  # fmt: skip


# What has a custom_id and cannot run, by its number.
_BAD = (
    lambda id: line(id, "x", model="nobody"),
    lambda id: line(id, "x", stream=True),
    lambda id: line(id, "x", temperature=17),
    lambda id: line(id, "x" * 9_000),
    lambda id: line(id, "x").replace("POST", "GET"),
)
_NAMELESS = ("{", "[]", "null", '{"method": "POST"}', '{"custom_id": 17}')


def dirty_file(
    rng: random.Random, count: int, *, model: str = "echo", dirt: float = 0.1, longest: int = 60
) -> DirtyFile:
    """A file of that many requests, about `dirt` of them bad."""
    rows, good, bad, texts = [], [], [], {}
    for number in range(count):
        id = f"request-{number}"
        if rng.random() >= dirt:
            texts[id] = f"{number} " + "y" * rng.randrange(longest)
            rows.append(line(id, texts[id], model))
            good.append(id)
        elif good and rng.random() < 0.2:
            rows.append(line(rng.choice(good), "again", model))  # an id that was used
        elif rng.random() < 0.5:
            rows.append(rng.choice(_BAD)(id))
            bad.append(id)
        else:
            rows.append(rng.choice(_NAMELESS))
    ends = ("\n", "\r\n", "\n\n", "\n \t\n")
    text = "".join(row + rng.choice(ends) for row in rows).rstrip()
    nameless = count - len(good) - len(bad)
    return DirtyFile(b"\xef\xbb\xbf" + text.encode(), good, bad, nameless, texts)


def breaches(
    sent: DirtyFile,
    output: Sequence[dict[str, Any]],
    errors: Sequence[dict[str, Any]],
    *,
    echoed: bool = True,
) -> list[str]:
    """What is wrong with the files of a batch whose good lines all succeeded: every
    line once between them, good ones with their answers (of the echo engine)."""
    found = []
    if [one["custom_id"] for one in output] != list(sent.good):
        found.append("the output file does not hold the good lines, once and in order")
    named = [one["custom_id"] for one in errors if one["custom_id"] is not None]
    if named != list(sent.bad):
        found.append("the error file does not hold the bad lines, once and in order")
    if len(errors) - len(named) != sent.nameless:
        found.append(f"{len(errors) - len(named)} lines without an id, {sent.nameless} were sent")
    doubled = [id for id, times in Counter(one["id"] for one in (*output, *errors)).items()
               if times > 1]  # fmt: skip
    if doubled:
        found.append(f"{len(doubled)} lines stand there twice")
    for one in output:
        text = one["response"]["body"]["choices"][0]["text"]
        wanted = sent.texts.get(one["custom_id"])
        if echoed and text != wanted:
            found.append(f"{one['custom_id']} has another answer than its prompt leads to")
    return found
