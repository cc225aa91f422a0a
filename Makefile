# make demo | test | lint | docs | web | web-build: each sets up .venv first, where it is missing or older than pyproject.toml
PYTHON ?= python3
PYTEST ?= -n auto --dist loadfile
BIN := .venv/bin

NETWORKS := keyposs-16 keyposs-8 keyposs-4
MODELS := $(NETWORKS:%=web/public/models/%.json)

.PHONY: demo test lint docs web web-build

demo: .venv/ready
	$(BIN)/python -m keyposs.train experiment=demo

test: .venv/ready
	$(BIN)/python -m pytest $(PYTEST)

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# the pages of docs/: built into site/index.html
docs: .venv/ready
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# the page of web/: built into web/dist, and served on this machine
web: web-build
	cd web && npm run preview

web-build: $(MODELS) web/node_modules/ready
	cd web && npm run build

# a network and its sidecar; that a file of weights or the exporter is newer makes both anew
web/public/models/%.json: src/keyposs/weights/%.safetensors src/keyposs/export.py src/keyposs/graph.py web/facts.py | .venv/ready
	mkdir -p $(@D)
	$(BIN)/python -m keyposs.export checkpoint=$* maps=true file=$(@D)/$*.onnx
	$(BIN)/python web/facts.py $(@D)/$*.onnx

web/node_modules/ready: web/package.json
	cd web && npm install --no-package-lock --no-audit --no-fund
	touch $@

.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --progress-bar off -e ".[dev]"
	touch $@
