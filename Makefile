# `make demo` and `make test` work on a fresh machine with Python 3.10-3.12 and pip alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIDEOS ?= demo/videos
OUT ?= demo/out

.PHONY: demo test lint check faults docs clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	@touch $@

demo/videos: $(VENV)/ready
	$(BIN)/reelmill sample demo/videos

# Curates the sample sources, or your own: make demo VIDEOS=folder
demo: $(VENV)/ready $(filter demo/videos,$(VIDEOS))
	@$(BIN)/reelmill curate $(VIDEOS) --out $(OUT) || test $$? -eq 3
	@$(BIN)/reelmill verify $(OUT)
	@$(BIN)/reelmill report $(OUT)

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadscope

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Kills the driver, a worker and the decoder at ten seeded moments each.
faults: $(VENV)/ready-test
	$(BIN)/python -m pytest tests/faults --fault-seeds 10

# Writes docs/tables.md and docs/cli.md from the code.
docs: $(VENV)/ready-test
	$(BIN)/python docs/generate.py

clean:
	rm -rf demo build *.egg-info
