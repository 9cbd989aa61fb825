# Needs GNU make (3.81 or newer) and a POSIX shell. `make` alone lists the targets.

PYTHON ?= python3
ARGS ?=

VENV := .venv
VERSION = $(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
PY := $(VENV)/bin/python
TOOLS := build/tools
in-parallel := --dist loadfile --no-loadscope-reorder  # tests/conftest.py has put the longest first

# Keeps telemetry services from delaying a newcomer's first run and from printing tracebacks.
export DO_NOT_TRACK ?= 1
export MLFLOW_DISABLE_TELEMETRY ?= true
export PREFECT_SERVER_ANALYTICS_ENABLED ?= false

.DEFAULT_GOAL := help
.PHONY: help install train test test-integration coverage faults lint format bench-search bench-serving bench serve wheel image \
	docs ui prefect-ui stack stack-down constraints sbom audit clean

help: ## list these targets
	@echo 'usage: make TARGET [ARGS="..."] [PYTHON=python3.12]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed-dev ## create .venv with everything to train, test and lint
	@echo 'Everything is in $(VENV): . $(VENV)/bin/activate'

train: $(VENV)/.installed ## train on the built-in sample; ARGS="--help" shows the options
	@$(PY) flows/train.py $(ARGS)

test: $(VENV)/.installed-dev ## run the tests and docstring examples that need only this checkout
	$(PY) -m pytest -m 'not integration' $(in-parallel) --numprocesses auto $(ARGS)

test-integration: $(VENV)/.installed-dev ## run the tests against real servers, workers and a browser
	$(PY) -m pytest -m integration $(in-parallel) --numprocesses 3 $(ARGS)

coverage: $(VENV)/.installed-dev ## run the tests and list the lines of the core that they do not reach
	@mkdir -p build/coverage
	$(PY) -m coverage erase
	$(PY) -m coverage run -m pytest -m 'not integration' $(in-parallel) --numprocesses auto $(ARGS)
	$(PY) -m coverage combine --quiet
	$(PY) -m coverage report

faults: $(VENV)/.installed-dev ## run the long campaigns of faults and made-up inputs, for hours; ARGS="-k tracking"
	FUZZ=200 $(PY) -m pytest -m "faults or hypothesis" --timeout 14400 -s $(ARGS)

lint: $(VENV)/.installed-dev ## check format, style and types
	$(PY) -m ruff format --check .
	$(PY) -m ruff check .
	$(PY) -m basedpyright

format: $(VENV)/.installed-dev ## format the code and fix what ruff can fix
	$(PY) -m ruff check --fix-only .
	$(PY) -m ruff format .

bench-search: $(VENV)/.installed ## time the searches against GridSearchCV after GridSearchCV; ARGS="--source FILE"
	$(PY) benchmarks/search.py $(ARGS)

bench-serving: $(VENV)/.installed-dev ## time the service beside `mlflow models serve`, for about 6 minutes; ARGS=--quick
	$(PY) benchmarks/serving.py $(ARGS)

serve: $(VENV)/.installed ## serve the champion over HTTP, http://127.0.0.1:8000; ARGS="--port 8001"
	@$(VENV)/bin/networksecurity serve $(ARGS)

bench: $(VENV)/.installed-dev ## run all benchmarks, for about 50 minutes; ARGS="--source FILE", ARGS=--quick
	$(PY) benchmarks/all.py $(ARGS)

wheel: $(VENV)/.installed ## build the wheel, dist/*.whl
	$(PY) -m pip wheel --quiet --no-deps --wheel-dir dist $(ARGS) .

image: ## build the image that deployments/compose.yaml and the pools use (needs docker)
	docker build --file deployments/Dockerfile --tag networksecurity:$(VERSION) $(ARGS) .

docs: $(VENV)/.installed-docs ## build the pages of docs/ and the reference as a site, build/site/index.html
	NO_MKDOCS_2_WARNING=1 $(PY) -m mkdocs build --quiet $(ARGS)
	@echo 'The site is in build/site: $(PY) -m http.server --bind 127.0.0.1 --directory build/site'

# A database that our trainings have made holds theirs as the first experiment after MLflow's own.
ui: $(VENV)/.installed ## show runs and models in MLflow, http://127.0.0.1:5000
	@echo 'Trainings: http://127.0.0.1:5000/#/experiments/1/runs?workflowType=machine_learning&viewStateShareKey=networksecurity'
	@MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false \
	$(PY) -m mlflow ui --backend-store-uri sqlite:///mlflow.db --host 127.0.0.1 --port 5000 --workers 1 $(ARGS)

prefect-ui: $(VENV)/.installed ## start a Prefect server with its UI, http://127.0.0.1:4200; ARGS="--port 4201"
	@# Its pages ask for /api where they came from, also with ARGS="--port 4201".
	PREFECT_UI_API_URL=/api $(PY) -m prefect server start --host 127.0.0.1 $(ARGS)

stack: $(VENV)/.installed ## start a Prefect server and a worker in the background, and deploy the flows
	@$(PY) deployments/stack.py up $(ARGS)

stack-down: ## end what `make stack` started
	@$(PY) deployments/stack.py down $(ARGS)

constraints: ## pin constraints.txt after changing a range (needs uv); ARGS=--upgrade takes the newest versions
	uv pip compile --quiet --universal --python-version 3.11 --all-extras --no-annotate \
		--custom-compile-command 'make constraints' $(ARGS) --output-file constraints.txt pyproject.toml

sbom: $(VENV)/.installed $(TOOLS) ## list what is installed as a CycloneDX document, build/sbom.json
	$(TOOLS)/bin/cyclonedx-py environment --output-reproducible --pyproject pyproject.toml --of JSON -o build/sbom.json $(PY)
	@echo 'Written: build/sbom.json'

# A mirror in the place of PyPI may have its packages and not what is known of them.
audit: $(TOOLS) ## check the pinned versions for known vulnerabilities (needs the network)
	@$(TOOLS)/bin/python -c 'import requests; requests.get("https://pypi.org/pypi/pip/25.0/json", timeout=10).json()["vulnerabilities"]' \
		2> /dev/null || { echo 'Nothing was checked: https://pypi.org does not say which vulnerabilities are known (no network, or a mirror in its place).' >&2; exit 1; }
	$(TOOLS)/bin/pip-audit --strict --requirement constraints.txt --no-deps --disable-pip --progress-spinner off $(ARGS)

$(TOOLS): # apart from .venv: the product does not depend on them
	$(PYTHON) -m venv $@
	$@/bin/pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7,<8' 'pip-audit>=2.9,<3' || { rm -rf $@; exit 1; }

clean: ## remove caches and builds; data, models, runs and .venv stay
	rm -rf build dist *.egg-info .hypothesis .pytest_cache .ruff_cache
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

# Training needs the first stamp, development and the site one more each. The recipe runs again when a stamp is older
# than the files that say what to install. An interrupted installation leaves .installing behind, and the next one
# starts from scratch.
$(VENV)/.installed-dev $(VENV)/.installed-docs: $(VENV)/.installed
ifeq ($(realpath $(PY)),) # never created, or its Python is gone
.PHONY: $(VENV)/.installed
endif
$(VENV)/.installed $(VENV)/.installed-dev $(VENV)/.installed-docs: requirements.txt constraints.txt pyproject.toml
	@if [ -e $(VENV)/.installing ] || ! $(usable); then $(make-venv); fi
	@echo 'Installing what is needed to $(purpose) into $(VENV); this can take some minutes.'
	@touch $(VENV)/.installing
	@if $(have-uv); \
	then uv pip install --python $(PY) --compile-bytecode $(what); \
	else $(count-aloud); $(PY) -m pip install --disable-pip-version-check $(what); fi
	@rm $(VENV)/.installing
	@touch $@

what = --constraint constraints.txt --editable '.$(extra)'
extra = $(if $(filter %-dev,$@),[dev])$(if $(filter %-docs,$@),[docs])
purpose = $(if $(filter %-dev,$@),develop,$(if $(filter %-docs,$@),build the site,train))
have-uv = uv --version > /dev/null 2>&1
usable = $(PY) -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2> /dev/null

# Once all is downloaded, pip says nothing more until all is unpacked.
define count-aloud
in_place() { ls -d $(VENV)/lib/python*/site-packages/*.dist-info 2> /dev/null | wc -l; }; before=$$(in_place); \
while sleep 10 > /dev/null 2>&1; do \
	now=$$(in_place); [ $$now -eq $$before ] || echo "$$((now)) packages are in place …"; done & \
trap "kill $$!" EXIT
endef

define make-venv
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and \
	"Python 3.11 or newer is needed, $(PYTHON) is %d.%d. Name another: make PYTHON=python3.12" % sys.version_info[:2])' \
	|| { command -v $(PYTHON) > /dev/null || echo 'Python 3.11 or newer is needed, there is no $(PYTHON).' >&2; exit 1; }; \
rm -rf $(VENV); \
if $(have-uv); \
then uv venv --quiet --seed --python "$$($(PYTHON) -c 'import sys; print(sys.executable)')" $(VENV); \
else $(PYTHON) -c 'import ensurepip' 2> /dev/null \
	|| { echo '$(PYTHON) cannot make an environment. On Debian and Ubuntu: apt install python3-venv' >&2; exit 1; }; \
	$(PYTHON) -m venv $(VENV); fi
endef
