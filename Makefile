PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.PHONY: help run capture sample test soak check format bench clean

help: ## this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/  /'

run: $(VENV)/.installed ## everything needed, then the dashboard on the sample log (or on MISREAD_LOG)
	$(BIN)/python launch.py

capture: $(VENV)/.installed-capture ## the same, and an app to try the recognizer in; or that app alone beside `make run`
	$(BIN)/python launch.py --capture

sample: $(VENV)/.installed ## draw, read, flag, score and replay the sample log anew (fonts come from npm and Debian packages)
	$(BIN)/python -m recognizer.fonts .misread/fonts
	$(BIN)/python -m sample.make_sample --fonts .misread/fonts
	MISREAD_LOG=sample/log MISREAD_WAREHOUSE=.misread/sample.duckdb $(BIN)/python -m data_access score --model bundled
	MISREAD_WAREHOUSE=.misread/sample.duckdb $(BIN)/python -m sample.make_replays
	$(BIN)/python -m sample.make_reviews

test: $(VENV)/.installed-dev check ## everything needed, then all tests
	$(BIN)/python -m tests.install_browser
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

soak: $(VENV)/.installed-dev ## what is decided by chance, in full: kills, crowds, clusters, property tests
	MISREAD_SOAK=1 $(BIN)/python -m pytest -m soak --numprocesses auto --maxprocesses 4 --dist loadfile --no-loadscope-reorder

check: $(VENV)/.installed-dev ## lint, formatting, types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .

format: $(VENV)/.installed-dev ## mend what a tool can mend
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## what users wait for, on 1,000,000 synthetic records
	$(BIN)/python -m benchmarks.queries
	$(BIN)/python -m benchmarks.pages
	$(BIN)/python -m benchmarks.ingest

clean: ## the environment and the demo's data; never your log
	rm -rf $(VENV) .misread

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Misread needs Python 3.11 or newer; name one, as in: make PYTHON=python3.12 run"; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-capture: requirements-capture.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-capture.txt
	touch $@

$(VENV)/.installed-dev: requirements-dev.txt requirements-capture.txt requirements-ray.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	touch $@
