"""The supervisor: starts everything in order, keeps it running, stops it in order.

It tells of itself in `.lmaas/supervisor.json`.
"""

import json
import os
import signal
import time
from collections.abc import Callable
from dataclasses import replace

from lmaas.errors import LmaasError, StartFailed
from lmaas.local import environment as environments
from lmaas.local import logs, orphans, preparation, process, report
from lmaas.local.checkout import Checkout
from lmaas.local.keeper import Keeper, ProcessRunner
from lmaas.local.memory import Memory, write_private
from lmaas.local.plans import Options, Plan, plans
from lmaas.local.readiness import KEY_REFUSED, Readiness
from lmaas.local.report import Phase, Report
from lmaas.local.servers import Servers
from lmaas.local.steps import Interrupted, Steps
from lmaas.local.stopping import stop_in_order

_TICK_S = 0.1
_BOUND_LOGS_S = 10.0


class Supervisor:
    """One run. Every process is started from the thread that calls `run`: on
    Linux the kernel ends them when that thread ends."""

    def __init__(
        self, checkout: Checkout, options: Options, tell: Callable[[str], None] | None = None
    ) -> None:
        self._checkout, self._options, self._tell = checkout, options, tell
        self.signals = 0
        self._prepared_anew = False
        self._begun = time.time()
        self._memory = Memory.read(checkout.memory_file) or Memory()
        self._servers = Servers(checkout, self._memory)
        self._processes: list[tuple[Plan, Keeper]] = []
        me = process.identify(os.getpid())
        self._report = Report("starting", "starting", os.getpid(), me.started if me else "", 0)

    def run(self) -> int:
        """Runs until a signal; the exit code. The caller holds the supervisor's lock."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        # What stands if something breaks that nobody thought of.
        outcome: Phase = "failed"
        step = f"the supervisor broke; see {self._checkout.supervisor_log}"
        try:
            self._start()
            self._watch()
            outcome, step = "stopped", "stopped"
        except Interrupted:
            outcome, step = "stopped", "stopped before it was ready"
        except LmaasError as error:
            outcome, step = "failed", error.message
        finally:
            self._stop(outcome, step)
        return 5 if outcome == "failed" else 0

    def _on_signal(self, *_: object) -> None:
        self.signals += 1

    def _start(self) -> None:
        self._checkout.environment_file.unlink(missing_ok=True)
        self._say("looking for what an earlier run left behind")
        orphans.end_all(self._checkout)
        logs.rotate(self._checkout.logs)
        settings = self._start_servers()
        self._steps = Steps(
            self._checkout.root, self._checkout.logs, settings, lambda: self.signals > 0
        )
        self._say("migrating the database")
        preparation.migrate(self._steps)
        self._prepare()
        self._say("starting the processes")
        for plan in plans(self._options, settings):
            self._keep(plan)

    def _start_servers(self) -> dict[str, str]:
        """The environment for all that comes after them."""
        self._servers.memory = environments.remember_ports(self._memory)
        self._say("starting Postgres")
        database_url = self._servers.start_postgres()
        self._say("starting Valkey")
        redis_url = self._servers.start_valkey()
        memory = self._servers.memory
        settings = environments.for_processes(self._checkout, memory, database_url, redis_url)
        write_private(
            self._checkout.environment_file, json.dumps(environments.shared(settings), indent=1)
        )
        database = environments.fingerprint(settings, self._servers.data)
        self._remember(replace(memory, database=database, default_model=self._options.model))
        return settings

    def _prepare(self) -> None:
        if self._memory.api_key is None:
            self._say("making the API key")
            self._remember(self._memory.with_key(preparation.make_key(self._steps)))
        self._remember(
            preparation.ensure_models(
                self._checkout, self._steps, self._memory, self._options.model, self._say
            )
        )

    def _keep(self, plan: Plan) -> None:
        log = self._checkout.logs / f"{plan.name}.log"
        runner = ProcessRunner(plan.command, plan.environment, self._checkout.root, log)
        keeper = Keeper(plan.name, runner, log)
        self._processes.append((plan, keeper))
        keeper.start()

    def _keepers(self) -> list[Keeper]:
        return [*self._servers.keepers, *(keeper for _, keeper in self._processes)]

    def _watch(self) -> None:
        readiness = Readiness(self._memory, self._options)
        self._say("waiting for the web server")
        try:
            self._keep_watch(readiness)
        finally:
            readiness.close()

    def _keep_watch(self, readiness: Readiness) -> None:
        bounded = time.monotonic()
        while not self.signals:
            changed = [keeper.tend() for keeper in self._keepers()]
            if any(changed):
                self._publish()
            if self._report.phase == "starting":
                self._advance(readiness)
            if time.monotonic() - bounded > _BOUND_LOGS_S:
                logs.bound(self._checkout.logs)
                bounded = time.monotonic()
            time.sleep(_TICK_S)

    def _advance(self, readiness: Readiness) -> None:
        """Looks whether everything is ready; raises `StartFailed` if it will not be."""
        for keeper in self._keepers():
            if keeper.looping:
                raise StartFailed(
                    f"{keeper.name} does not stay up (exit {keeper.last_exit}): "
                    f"{logs.last_line(keeper.log)}; see {keeper.log}"
                )
        step = readiness.look()
        if step == KEY_REFUSED:
            self._prepare_anew(readiness)
        elif step is None:
            readiness.close()
            self._report = replace(
                self._report, phase="ready", ready_after_s=time.time() - self._begun
            )
            self._say("ready")
        elif step != self._report.step:
            self._say(step)

    def _prepare_anew(self, readiness: Readiness) -> None:
        """The database is not the one that the key was made in."""
        if self._prepared_anew:
            raise StartFailed(
                f"what answers on port {self._memory.ports['web']} refuses the key that was made "
                "for it a moment ago; if something else has taken the port, "
                f"{self._checkout.logs / 'web.log'} says so: set LMAAS_WEB_PORT to another one"
            )
        self._prepared_anew = True
        self._remember(replace(self._memory, api_keys={}, models={}))
        self._prepare()
        readiness.use(self._memory)

    def _remember(self, memory: Memory) -> None:
        self._memory = memory
        memory.write(self._checkout.memory_file)

    def _say(self, step: str) -> None:
        if self.signals and self._report.phase == "starting":
            raise Interrupted("stopped during the start")
        self._report = replace(self._report, step=step)
        self._publish()
        if self._tell is not None:
            self._tell(step)

    def _publish(self) -> None:
        self._report = replace(
            self._report,
            since=self._begun,
            processes=tuple(keeper.report() for keeper in self._keepers()),
            addresses=environments.addresses(self._memory, flower=self._options.flower),
            notes=tuple(self._servers.notes),
        )
        report.write(self._report, self._checkout.report_file)

    def _stop(self, outcome: Phase, step: str) -> None:
        seen = self.signals
        self._report = replace(self._report, phase="stopping")
        stop_in_order(
            self._processes,
            self._servers.keepers,
            self._say,
            hurried=lambda: self.signals > max(seen, 1),
        )
        self._checkout.environment_file.unlink(missing_ok=True)
        self._report = replace(self._report, phase=outcome)
        self._say(step)
