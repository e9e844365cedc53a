# make run   a demonstration: models, faces, four cameras, names      (no camera, no GPU needed)
# make test  lint, types, layers and all tests
PYTHON ?= python3.11
VENV   ?= .venv
# onnxruntime and onnxruntime-gpu cannot live side by side: take the one that this machine can use.
ACCEL  ?= $(shell nvidia-smi -L 2>/dev/null | grep -q GPU && echo gpu || echo cpu)
BIN    := $(VENV)/bin

.PHONY: run install models test check unit e2e clean dist lock sbom release-tools

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
	$(BIN)/pytest -q -n 4 -p no:schemathesis tests/unit tests/property tests/golden
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/e2e

unit: install
	$(BIN)/pytest -q -n 4 -p no:schemathesis -m "not models" tests/unit

e2e: models
	$(BIN)/pytest -q -n 3 --dist loadfile --no-loadscope-reorder tests/e2e

# For a release: docs/releasing.md.
dist: install
	rm -rf build dist
	$(BIN)/python -m build --outdir dist .

release-tools: install
	PYTHONWARNINGS=ignore $(BIN)/python -m pip install --quiet --editable '.[release]'

lock: release-tools
	for accel in cpu gpu; do $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --custom-compile-command 'make lock' --extra $$accel --extra mqtt --extra nats \
	  pyproject.toml --output-file config/lock/$$accel.txt $(LOCK_OPTIONS) || exit 1; done

sbom: release-tools
	mkdir -p dist
	for accel in cpu gpu; do $(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --mc-type application \
	  --output-reproducible --output-file dist/streamd-$$accel.cdx.json config/lock/$$accel.txt || exit 1; done

clean:
	rm -rf $(VENV) build dist *.egg-info
