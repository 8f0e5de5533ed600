"""The order of a stop: no new requests, drain, deciders, then the servers."""

import time
from collections.abc import Callable, Sequence

from lmaas.local.keeper import Keeper, ProcessRunner
from lmaas.local.plans import DECIDERS, WEB, WORKERS, Plan

_SERVER_S = 60.0
_SENTENCES = {
    WEB: "stopping the web server",
    WORKERS: "draining the workers: running jobs may finish or go back to the queue",
    DECIDERS: "stopping dispatcher and housekeeper",
}


def stop_in_order(
    processes: Sequence[tuple[Plan, Keeper]],
    servers: Sequence[Keeper],
    tell: Callable[[str], None],
    *,
    hurried: Callable[[], bool],
) -> None:
    """Stops everything, each stage within its bound; `hurried` cuts the waits short."""
    for stage in (WEB, WORKERS, DECIDERS):
        members = [(plan, keeper) for plan, keeper in processes if plan.stage == stage]
        if any(keeper.runner.pid is not None for _, keeper in members):
            tell(_SENTENCES[stage])
        _stop_stage(members, hurried)
    if servers:
        tell("stopping the servers")
    for keeper in reversed(servers):
        keeper.stop(_SERVER_S)


def _stop_stage(members: Sequence[tuple[Plan, Keeper]], hurried: Callable[[], bool]) -> None:
    for _, keeper in members:
        if isinstance(keeper.runner, ProcessRunner):
            keeper.runner.ask_to_stop()
    deadline = time.monotonic() + max((plan.patience_s for plan, _ in members), default=0)
    while any(keeper.runner.pid is not None for _, keeper in members):
        if time.monotonic() > deadline or hurried():
            break
        time.sleep(0.05)
    for _, keeper in members:
        # Its time is over, so what still runs is killed.
        keeper.stop(0.5)
