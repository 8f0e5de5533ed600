"""One protection taken out of a copy of the checkout."""

import ast
from dataclasses import dataclass
from pathlib import Path


class StaleMutant(Exception):
    """The text to be replaced is not in its file exactly once: the product has
    moved on, and the mutant has to follow."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """`protection` says what is taken out; of `tests` at least one must fail then."""

    name: str
    protection: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...]

    def source(self, root: Path) -> str:
        """The mutated text of its file. Raises `StaleMutant`."""
        text = (root / self.file).read_text("utf-8")
        found = text.count(self.old)
        if found != 1:
            raise StaleMutant(f"{self.name}: {found} times in {self.file}: {self.old!r}")
        return text.replace(self.old, self.new)

    def apply(self, root: Path) -> None:
        """Takes the protection out of the checkout at `root`."""
        (root / self.file).write_text(self.source(root), "utf-8")


def is_test(root: Path, node: str) -> bool:
    """Whether `path::name` or `path::name[parameters]` is a test of the checkout."""
    path, _, name = node.partition("::")
    if not (root / path).is_file():
        return False
    tree = ast.parse((root / path).read_text("utf-8"))
    return name.partition("[")[0] in {f.name for f in tree.body if isinstance(f, ast.FunctionDef)}
