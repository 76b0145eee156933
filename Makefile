# make demo    set everything up, then search hyper-parameters on real digits
# make test    set everything up, then run every test that needs no GPU
# make test-slow    those of several machines, real servers and job submission, which `make test` leaves out
PYTHON ?= python3
BIN := .venv/bin
RESULTS ?= results

.PHONY: demo test test-slow lint benchmarks clean

# One environment, pinned by constraints.txt. uv installs it in half a minute where pip takes three.
.venv/ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "trainyard needs Python 3.11 or later, $(PYTHON) is older. Name another: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt uv
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --constraint constraints.txt --editable '.[dev]'
	@touch $@

demo: .venv/ready
	@test -e data/digits || $(BIN)/trainyard data import digits data/digits
	$(BIN)/trainyard sweep jobs/digits_cnn.yaml search_spaces/digits.yaml --results $(RESULTS)

test: .venv/ready lint
	$(BIN)/python -m pytest -m "not gpu and not slow" -n 2 --dist loadfile --no-loadscope-reorder --durations=20

# One after the other: each file starts the servers and raylets that it needs.
test-slow: .venv/ready
	$(BIN)/python -m pytest -m "slow and not gpu" --durations=20

lint: .venv/ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy platform/trainyard

# Prints the commands: each takes the machine for itself for some minutes.
benchmarks: .venv/ready
	@grep -l __main__ benchmarks/*.py | sed 's|^|$(BIN)/python |'

clean:
	rm -rf .venv
