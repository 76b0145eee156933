"""What an import holds in memory doesn't grow with its source."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import resource, sys
from dataclasses import dataclass
import numpy as np
from trainyard.data.importing import planning
from trainyard.data.importing.run import import_source
from trainyard.data.location import Location
from trainyard.data.source import Entry, Example, Listing
from trainyard.data.importing.workers import in_process

planning.SHARD_BYTES = 2 << 20

@dataclass
class Noise:
    rows: int
    def listing(self):
        entries = [Entry(name=str(row), label=row % 2, source_bytes=120 * 160) for row in range(self.rows)]
        return Listing(annotation="label", classes=("even", "odd"), entries=entries)
    def read(self, entry):
        pixels = np.random.default_rng(int(entry.name)).integers(0, 256, (120, 160), dtype=np.uint8)
        return Example(name=entry.name, split=entry.split, image=pixels, label=entry.label)

for rows in (500, 5000):
    import_source(Noise(rows), Location.of(f"{sys.argv[1]}/{rows}"), format_name="noise", run=in_process)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def test_ten_times_the_rows_take_hardly_more_memory(tmp_path: Path) -> None:
    """10 and 96 MB of pixels, in files of 2 MB."""
    printed = subprocess.run([sys.executable, "-c", PROGRAM, tmp_path], capture_output=True, text=True, check=True)
    few, many = map(int, printed.stdout.split())
    assert many - few < 20, f"{few} MB, {many} MB"
