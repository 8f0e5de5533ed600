"""Which engine a model version runs on, and on which device."""

from jobs.errors import BadSettings
from jobs.settings import Settings
from models_store.catalog import ModelVersion
from models_store.folders import version_folder
from workers.engines.protocol import Engine


def load_engine(version: ModelVersion, settings: Settings) -> Engine:
    """Loads a model version that was verified before.

    Raises `UnsupportedModel`, or whatever the device has against it.
    """
    folder = version_folder(settings.models_folder, version.name, version.version)
    if version.engine == "echo":
        from workers.engines.echo import EchoEngine

        return EchoEngine(
            slots=settings.slots,
            tokens_per_s=settings.echo_tokens_per_s,
            folder=folder,
            poison=settings.echo_poison,
        )
    if version.engine == "encoder":
        from workers.engines.encoder import EncoderEngine

        return EncoderEngine.load(
            folder,
            device=device_of(version, settings),
            dtype=settings.dtype,
            slots=settings.slots,
            threads=settings.threads,
        )
    from workers.engines.lm import LmEngine

    return LmEngine.load(
        folder,
        device=device_of(version, settings),
        dtype=settings.dtype,
        slots=settings.slots,
        kv_tokens=settings.kv_tokens,
        threads=settings.threads,
    )


def device_of(version: ModelVersion, settings: Settings) -> str:
    """`auto` becomes the first CUDA device if there is one, else the CPU; the
    echo engine runs on the CPU wherever it is.

    Raises `BadSettings` for a CUDA device that is not there.
    """
    if settings.device == "cpu" or version.engine == "echo":
        return "cpu"
    import torch  # takes seconds

    count = torch.cuda.device_count()
    if settings.device == "auto":
        return "cuda:0" if count else "cpu"
    if int(settings.device.removeprefix("cuda:")) >= count:
        raise BadSettings(
            f"LMAAS_DEVICE={settings.device!r} is not there: this machine has {count} CUDA devices"
        )
    return settings.device
