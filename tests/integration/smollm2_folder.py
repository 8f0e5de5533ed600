"""SmolLM2-135M-Instruct as a folder of files, converted once per checkout."""

from functools import cache
from pathlib import Path

from workers.convert import convert, smollm2_file

_CHECKOUT = Path(__file__).resolve().parents[2]


@cache
def smollm2_folder() -> Path:
    """The folder that `lmaas up` imports too; made here if nobody did before."""
    folder = _CHECKOUT / ".lmaas" / "convert" / "smollm2"
    convert(smollm2_file(), folder)
    return folder
