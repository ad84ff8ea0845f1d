# `make demo` and `make test` work on a fresh machine with Python 3.10-3.12 and pip alone.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VIDEOS ?= demo/videos
OWN := $(filter-out demo/videos,$(VIDEOS))
quoted = '$(subst ','\'',$(1))'
# The samples go to demo/out; videos of your own to an output for the path that was named.
OUT ?= demo/$(if $(OWN),$(shell v=$(call quoted,$(VIDEOS)); \
	printf '%s-' "$$(basename -- "$$v" | tr -c 'A-Za-z0-9._\n-' -)"; \
	printf %s "$$v" | cksum | cut -d' ' -f1),out)

.PHONY: demo test test-slow lint check faults docs clean

$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/ready-test: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .[test]
	@touch $@

demo/videos: $(VENV)/ready
	$(BIN)/reelmill sample demo/videos

# Curates the sample sources, then finds three; or curates your own: make demo VIDEOS=folder
demo: $(VENV)/ready $(if $(OWN),,demo/videos)
	@$(BIN)/reelmill curate $(call quoted,$(VIDEOS)) --out $(call quoted,$(OUT)) || test $$? -eq 3
	@$(BIN)/reelmill verify $(call quoted,$(OUT))
	@$(BIN)/reelmill report $(call quoted,$(OUT))
ifeq ($(OWN),)
	$(BIN)/reelmill search $(OUT) "ships in a harbour" --top 2
	$(BIN)/reelmill search $(OUT) "mountains in the morning" --top 2
	$(BIN)/reelmill search $(OUT) "sand in the desert" --top 2
endif

# The fast tier; its last lines say what it leaves out.
test: lint
	$(BIN)/python -m pytest -n 2 --dist loadscope --tier fast

# All other tests: Ray, real videos, browser, networks, kills. The long modules start early.
test-slow: $(VENV)/ready-test
	$(BIN)/python -m pytest -n 2 --dist loadscope --no-loadscope-reorder --tier slow

lint: $(VENV)/ready-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The whole fault matrix: hours. It goes on where it was stopped; remove faults.jsonl to start anew.
# It prints its table. docs/reliability.md
faults: $(VENV)/ready-test
	$(BIN)/python -m pytest tests -m faults --fault-scale full --fault-table faults.jsonl

# Writes docs/tables.md and docs/cli.md from the code.
docs: $(VENV)/ready-test
	$(BIN)/python docs/generate.py

clean:
	rm -rf demo build *.egg-info
