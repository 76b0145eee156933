"""A dashboard with one job, which runs: enough for a command to be interrupted while it waits for an answer."""

import contextlib
import http.server
import json
import os
import signal
import threading
from collections.abc import Iterator

JOB = "once"


class Dashboard(http.server.ThreadingHTTPServer):
    """interrupt: the request that is never answered, such as `POST /api/jobs/`, as Ctrl-C comes then.

    A request of that kind is answered so many times before.
    """

    def __init__(self, interrupt: str, answered: int) -> None:
        super().__init__(("127.0.0.1", 0), _Requests)
        self.interrupt = interrupt
        self.left = answered
        self.over = threading.Event()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Requests(http.server.BaseHTTPRequestHandler):
    server: Dashboard

    def do_GET(self) -> None:
        job = {"type": "SUBMISSION", "submission_id": JOB, "status": "RUNNING", "entrypoint": "python -m trainyard"}
        answers = {"/api/version": {"ray_version": "2.60.0"}, "/api/jobs/": [], f"/api/jobs/{JOB}": job}
        self._answer(answers.get(self.path, {}))

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self._answer({"stopped": True} if self.path.endswith("/stop") else {"job_id": JOB, "submission_id": JOB})

    def _answer(self, content: object) -> None:
        if f"{self.command} {self.path}" == self.server.interrupt:
            self.server.left -= 1
            if self.server.left < 0:
                os.kill(os.getpid(), signal.SIGINT)
                self.server.over.wait(60)
                return
        text = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def log_message(self, format: str, *arguments: object) -> None:
        return None


@contextlib.contextmanager
def dashboard(interrupt: str, answered: int = 0) -> Iterator[Dashboard]:
    server = Dashboard(interrupt, answered)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.server_close()
        thread.join()
