"""A checkout whose processes only pretend, so that the supervisor can be tried in seconds.

Postgres and Valkey are real. Each process does what the contract of its
command line says, and nothing else.
"""

import os
import subprocess
import sys
from pathlib import Path

import psutil

from tests.conditions import ROOT

_WAITS = """
import os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
pathlib.Path(os.environ["LMAAS_STORE"]).mkdir(parents=True, exist_ok=True)
"""

_WORKER = f"""{_WAITS}
if (pathlib.Path.cwd() / "worker-breaks").exists():
    print("RuntimeError: the engine does not fit", file=sys.stderr)
    sys.exit(7)
if not (pathlib.Path.cwd() / "worker-loads-for-ever").exists():
    (pathlib.Path(os.environ["LMAAS_STORE"]) / "worker.pid").write_text(str(os.getpid()))
while True:
    signal.pause()
"""

_WEB = """
import http.server, json, os, pathlib, signal, sys
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
store = pathlib.Path(os.environ["LMAAS_STORE"])

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("Authorization") == f"Bearer {(store / 'key').read_text()}"
        pid = store / "worker.pid"
        rows = [dict(id="w1", model="echo@1", state="ready", device="cpu", host="here",
                     pid=int(pid.read_text()), slots=8, busy=0)] if pid.exists() else []
        if self.path != "/v1/workers":
            rows = []
        body = {"data": rows} if known else {
            "error": {"message": "unknown key", "type": "t", "code": "invalid_api_key"}}
        data = json.dumps(body).encode()
        self.send_response(200 if known else 401)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

port = int(os.environ["LMAAS_WEB_PORT"])
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""

_BOOTSTRAP = """
import os, pathlib, secrets
store = pathlib.Path(os.environ["LMAAS_STORE"])
store.mkdir(parents=True, exist_ok=True)
key = "pretend_" + secrets.token_hex(8)
(store / "key").write_text(key)
print(key)
"""

_PROCESSES = {
    "migrations/__main__.py": "import os; assert os.environ['DATABASE_URL']\n",
    "api/__main__.py": _WEB,
    "api/bootstrap.py": _BOOTSTRAP,
    "models_store/__main__.py": "import sys\nif sys.argv[1] == 'ls': print('[]')\n",
    "dispatcher/__main__.py": f"{_WAITS}\nwhile True: signal.pause()\n",
    "dispatcher/housekeeper.py": f"{_WAITS}\nwhile True: signal.pause()\n",
    "workers/__main__.py": _WORKER,
    "bells/flower.py": f"{_WAITS}\nwhile True: signal.pause()\n",
    "Procfile": "",
    "setup.cfg": "",
}


class PretendCheckout:
    """A folder to run `lmaas` in."""

    def __init__(self, folder: Path) -> None:
        self.root = folder
        self.state = folder / ".lmaas"
        for name, text in _PROCESSES.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            if file.parent != folder:
                # Without it the real package further down the path would win.
                (file.parent / "__init__.py").touch()

    def environment(self, **settings: str) -> dict[str, str]:
        foreign = ("DATABASE_URL", "REDIS_URL")
        kept = {
            name: value
            for name, value in os.environ.items()
            if name not in foreign and not name.startswith("LMAAS_")
        }
        return {**kept, "PYTHONPATH": str(ROOT), **settings}

    def lmaas(self, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-m", "lmaas.cli", *words],
            cwd=self.root,
            env=self.environment(**settings),
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )

    def begin(self, *words: str, **settings: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [sys.executable, "-m", "lmaas.cli", *words],
            cwd=self.root,
            env=self.environment(**settings),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def processes(self) -> list[psutil.Process]:
        """Everything that carries this checkout's name in its environment or command."""
        found = []
        for process in psutil.process_iter():
            try:
                marked = process.environ().get("LMAAS_SUPERVISED") == str(self.state)
                named = any(str(self.state) in word for word in process.cmdline())
                inside = process.cwd().startswith(str(self.state))
            except (psutil.Error, OSError):
                continue
            if (marked or named or inside) and process.pid != os.getpid():
                found.append(process)
        return found
