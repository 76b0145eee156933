"""Class folders as a data set, by one process on one core."""

import argparse
import json
import resource
import shutil
import time
from pathlib import Path

from pictures import on_one_core

from trainyard.data.formats import open_source
from trainyard.data.importing.run import import_source
from trainyard.data.importing.workers import in_process
from trainyard.data.location import Location
from trainyard.data.source import ImportOptions


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--source", type=Path, required=True)
    options = parser.parse_args()
    on_one_core()
    source = open_source("image_folder", Location.of(options.source), ImportOptions())
    started = time.perf_counter()
    import_source(source, Location.of(options.folder / "data"), format_name="image_folder", run=in_process)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    (options.folder / "result.json").write_text(json.dumps({"seconds": seconds, "peak_mib": peak}))
    shutil.rmtree(options.folder / "data")


if __name__ == "__main__":
    main()
