# Two commands do everything: `make run` and `make test`. `make help` lists the rest.
PYTHON ?= python3
PORT ?= 8000
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
export PIP_NO_WARN_SCRIPT_LOCATION := 1

.DEFAULT_GOAL := help
.PHONY: help run test check format train kernel bench trials lock clean
.PHONY: build invoke start-api deploy publish rollback smoke check-template test-container sbom

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(VENV)/kernel.stamp ## serve prices at http://localhost:8000 (PORT=..., MODEL_URI=s3://bucket/prefix)
	@printf '\n  La página:      http://localhost:%s/estimar\n  API y pruebas:  http://localhost:%s/docs\n\n  Una vivienda:\n' $(PORT) $(PORT)
	@printf "  curl -s http://localhost:%s/predecir -H 'Content-Type: application/json' -d '%s'\n\n" $(PORT) "$$(cat examples/vivienda.json)"
	@$(BIN)/uvicorn lambda_handler:app --port $(PORT) --no-access-log

test: $(VENV)/test.stamp $(VENV)/kernel.stamp ## run the tests (all but those of `make test-container`)
	@$(BIN)/pytest -m 'not container'

check: $(VENV)/test.stamp ## lint, format and types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

format: $(VENV)/test.stamp ## put the code into shape
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

train: $(VENV)/test.stamp ## fit a model: make train DATA=listings.csv [OUT=models/model.safetensors]
	@test -n "$(DATA)" || { echo 'Say which listings: make train DATA=listings.csv'; exit 2; }
	@mkdir -p $(dir $(or $(OUT),models/model.safetensors))
	@$(BIN)/python -m training fit --data "$(DATA)" --out "$(or $(OUT),models/model.safetensors)"

lock: $(VENV)-tools/stamp ## compile requirements/*.in into hashed lock files
	@for set in run build train test deploy audit tools; do \
	  $(VENV)-tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
	    --custom-compile-command 'make lock' requirements/$$set.in -o requirements/$$set.txt || exit 1; done

LICENCES := MIT;MIT License;MIT No Attribution License (MIT-0);BSD-3-Clause;Apache-2.0;Apache Software License;PSF-2.0
sbom: $(VENV)-tools/stamp $(VENV)-image/stamp ## list what the image holds: build/sbom.json, docs/licences.md
	@mkdir -p build
	@$(VENV)-tools/bin/cyclonedx-py environment $(VENV)-image/bin/python --output-reproducible -o build/sbom.json
	@$(VENV)-tools/bin/pip-licenses --python $(VENV)-image/bin/python --from mixed --format markdown --with-urls \
	  --allow-only '$(LICENCES)' --output-file build/licences.md
	@sed -i -e '/<!-- packages -->/,/<!-- \/ -->/{//!d}' -e '/<!-- packages -->/r build/licences.md' docs/licences.md

bench: $(VENV)/test.stamp $(VENV)/kernel.stamp ## measure against other ways to serve the forest, into bench/results (ROUNDS=9)
	@$(BIN)/python -m bench --rounds $(or $(ROUNDS),9)

trials: $(VENV)/test.stamp $(VENV)/kernel.stamp ## put the service through hostile input, damaged models and load (docs/reliability.md)
	@for trial in inputs artifacts load; do $(BIN)/python -m trials $$trial --docs || exit 1; done

kernel: $(VENV)/kernel.stamp ## compile the kernel, where there is a C compiler

clean: ## remove what the build made
	rm -rf $(VENV) $(VENV)-deploy $(VENV)-audit $(VENV)-image $(VENV)-tools .aws-sam build *.egg-info app/*.so app/*.c

# --- AWS: thin calls of sam, whose settings are in samconfig.toml; docs/deploy.md tells the whole way.
SAM := SAM_CLI_TELEMETRY=0 $(VENV)-deploy/bin/sam
EVENT ?= events/rest-predecir.json
STACK ?= precio-madrid
MODEL ?= models/model.safetensors
PUBLISH_FLAGS ?= --promote
DEPLOY_FLAGS ?=

build: $(VENV)-deploy/stamp ## build the Lambda image (needs Docker)
	@$(SAM) build

invoke: build ## call the image once: make invoke EVENT=events/rest-predecir.json
	@$(SAM) local invoke --event $(EVENT) # of PricingFunction: samconfig.toml

start-api: build ## serve the image behind a local API Gateway at http://localhost:3000
	@$(SAM) local start-api

deploy: build ## create or update the stack in your AWS account
	@$(SAM) deploy $(DEPLOY_FLAGS)

# What the stack says of itself: $(call output,Url)
output = $$($(SAM) list stack-outputs --stack-name $(STACK) --output json | $(PYTHON) -c \
  'import json, sys; print(next(o["OutputValue"] for o in json.load(sys.stdin) if o["OutputKey"] == "$(1)"))')

publish: $(VENV)/test.stamp $(VENV)-deploy/stamp ## put a model into the stack's bucket and serve it: make publish MODEL=...
	@MODEL_URI="$(call output,ModelUri)" $(BIN)/python -m training publish $(MODEL) $(PUBLISH_FLAGS)

rollback: $(VENV)/test.stamp $(VENV)-deploy/stamp ## serve the model before the current one again
	@MODEL_URI="$(call output,ModelUri)" $(BIN)/python -m training rollback

smoke: $(VENV)-deploy/stamp ## ask the deployed stack how it is
	@url="$(call output,Url)" && curl --fail --silent --show-error --retry 5 --retry-all-errors --max-time 30 "$$url/salud" && echo

check-template: $(VENV)-deploy/stamp $(VENV)-audit/stamp ## read template.yaml as AWS and an auditor would
	@AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-eu-south-2} $(SAM) validate --lint # any Region; nothing is called there
	@$(VENV)-deploy/bin/cfn-lint template.yaml
	@$(VENV)-audit/bin/checkov --file template.yaml --framework cloudformation --skip-download --compact --quiet

test-container: $(VENV)/test.stamp $(VENV)-deploy/stamp ## build the image, look into it and call it (needs Docker)
	@$(BIN)/pytest -m container

$(VENV)-tools/stamp: requirements/tools.txt
	@echo 'Setting up $(@D) ...'
	@$(PYTHON) -m venv $(@D)
	@$(@D)/bin/python -m pip --disable-pip-version-check --quiet install --require-hashes --only-binary :all: -r $<
	@touch $@

# By the pip of the tools, without one of their own: what they hold is what their lock file says and nothing else.
$(VENV)-deploy/stamp: requirements/deploy.txt
$(VENV)-audit/stamp: requirements/audit.txt
$(VENV)-image/stamp: requirements/run.txt
$(VENV)-deploy/stamp $(VENV)-audit/stamp $(VENV)-image/stamp: | $(VENV)-tools/stamp
	@echo 'Setting up $(@D) ...'
	@rm -rf $(@D) && $(PYTHON) -m venv --without-pip $(@D)
	@$(VENV)-tools/bin/python -m pip --quiet --python $(@D)/bin/python install --require-hashes --only-binary :all: -r $<
	@touch $@

# An environment is a stamp: it is made anew when its lock file changes. Wheels only, here and above, so that nothing runs
# a build script on this machine; the kernel is compiled where there is a compiler and is plain Python otherwise.
$(VENV)/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo 'Python 3.11 or later is needed: make PYTHON=python3.x ...'; exit 1; }
	@echo 'Setting up $(VENV) ...'
	@$(PYTHON) -m venv $(VENV)

$(VENV)/run.stamp: requirements/run.txt requirements/build.txt | $(VENV)/pyvenv.cfg
	@echo 'Installing what serves prices ...'
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/run.txt -r requirements/build.txt
	@touch $@

TYPED := $(wildcard app/*.pxd)
$(VENV)/kernel.stamp: setup.py $(TYPED) $(TYPED:.pxd=.py) | $(VENV)/run.stamp
	@echo 'Compiling the kernel ...'
	@rm -rf build/lib.* app/*.so # a kernel of an older source must not outlive it
	@$(BIN)/python setup.py --quiet build_ext --inplace
	@touch $@

$(VENV)/test.stamp: requirements/test.txt | $(VENV)/run.stamp
	@echo 'Installing what trains and tests ...'
	@$(PIP) install --require-hashes --only-binary :all: -r requirements/test.txt
	@touch $@
