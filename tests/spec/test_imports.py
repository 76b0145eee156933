"""What importing trainyard.spec costs: nothing heavy, so that `trainyard check` answers at once."""

import subprocess
import sys

HEAVY = ("torch", "ray", "optuna", "mlflow", "pandas", "numpy", "pyarrow", "sklearn", "ruamel")


def test_nothing_heavy_is_imported() -> None:
    code = f"import sys, trainyard.spec; print([name for name in {HEAVY!r} if name in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "[]"


def test_reading_a_job_imports_nothing_heavier_than_a_yaml_reader() -> None:
    code = (
        "import sys, pathlib, trainyard.spec.yaml_reader, trainyard.spec; trainyard.spec.json_schema('job');"
        f"print([name for name in {HEAVY!r} if name in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert found.stdout.strip() == "['ruamel']"


def test_the_import_is_quick() -> None:
    """A third of what pydantic takes, without which there would be no specs at all; allowed is as much. The processor's
    time and the best of three, as other tests may run beside this one."""
    assert min(import_share() for _ in range(3)) < 1


def import_share() -> float:
    """Seconds of importing trainyard.spec over those of importing pydantic and making a model."""
    code = """
import time
began = time.process_time()
import pydantic
class Model(pydantic.BaseModel):
    number: int
between = time.process_time()
import trainyard.spec
print((time.process_time() - between) / (between - began))
"""
    return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
