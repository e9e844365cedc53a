# make run   a demonstration: models, faces, four cameras, names      (no camera, no GPU needed)
# make test  lint, types, layers and all tests
PYTHON ?= python3.11
VENV   ?= .venv
# onnxruntime and onnxruntime-gpu cannot live side by side: take the one that this machine can use.
ACCEL  ?= $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
BIN    := $(VENV)/bin

.PHONY: run install models test check unit e2e clean

run: install
	$(BIN)/streamd run --demo

install: $(VENV)/.installed-$(ACCEL)

$(VENV)/.installed-$(ACCEL): pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	rm -f $(VENV)/.installed-*
	$(BIN)/python -m pip uninstall --quiet --yes onnxruntime onnxruntime-gpu 2>/dev/null || true
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[$(ACCEL),dev]'
	touch $@

models: install
	$(BIN)/streamd models pull

check: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: check models
	$(BIN)/pytest -q -n 2 tests/unit tests/property tests/golden
	$(BIN)/pytest -q tests/e2e

unit: install
	$(BIN)/pytest -q -n 2 tests/unit tests/property tests/golden

e2e: models
	$(BIN)/pytest -q tests/e2e

clean:
	rm -rf $(VENV) build dist *.egg-info
