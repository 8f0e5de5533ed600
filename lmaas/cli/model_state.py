"""What is the matter with a model version, in a few words."""

from lmaas.answers import Model


def state_of(model: Model) -> str:
    """`ok`, or all that keeps it from running jobs as it should."""
    told = []
    if model.paused_since is not None:
        told.append("paused" + (f": {model.pause_reason}" if model.pause_reason else ""))
    if model.crash_loop_deaths:
        told.append(f"crash loop: {model.crash_loop_deaths} workers died within 10 minutes")
    if not model.workers:
        told.append("no worker")
    return "; ".join(told) or "ok"
