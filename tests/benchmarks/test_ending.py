"""A benchmark that is ended takes what it has started with it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"

BENCHMARK = """
import sys
from common import run_command, temporary_folder

with temporary_folder() as folder:
    (folder / "side.py").write_text(
        "import os, sys, time; from pathlib import Path\\n"
        "Path(sys.argv[1] + '.new').write_text(f'{os.getpid()} {os.getcwd()} {sys.argv[0]}')\\n"
        "os.rename(sys.argv[1] + '.new', sys.argv[1])\\n"
        "time.sleep(120)\\n"
    )
    run_command([sys.executable, str(folder / "side.py"), sys.argv[1]], folder / "log.txt", timeout=60)
"""


def test_its_side_and_its_folder_end_with_it(tmp_path: Path) -> None:
    note = tmp_path / "note"
    benchmark = subprocess.Popen(
        [sys.executable, "-c", BENCHMARK, str(note)],
        env={**os.environ, "PYTHONPATH": str(BENCHMARKS)},
        stderr=subprocess.DEVNULL,
    )
    try:
        end = time.monotonic() + 60
        while not note.exists() and benchmark.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        side, _, script = note.read_text().split()
        assert Path(script).exists()

        benchmark.send_signal(signal.SIGTERM)

        assert benchmark.wait(20) == 143
        with pytest.raises(ProcessLookupError):
            os.kill(int(side), 0)
        assert not Path(script).exists()
    finally:
        benchmark.kill()
        benchmark.wait()
