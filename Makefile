# Two commands: `make app` runs Convoscope, `make test` checks everything. Both start from a bare clone.
PYTHON ?= python3
PORT ?= 8501
# Who reaches the app: localhost is this machine only, 0.0.0.0 the whole network, as a class needs it.
HOST ?= localhost
BIN := .venv/bin
# TORCH=cpu installs PyTorch without CUDA, a quarter of the size: make app TORCH=cpu.
TORCH ?=
TORCH_INDEX := $(if $(TORCH),--extra-index-url https://download.pytorch.org/whl/$(TORCH))

.PHONY: app test test-all check format benchmarks networks pictures shipped clean

app: .venv/.app
	$(BIN)/streamlit run app.py --server.port $(PORT) --server.address $(HOST)

test: .venv/.test
	@command -v chromium >/dev/null || tests/browser/install_chromium.sh || true
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	@# Two processes of one thread each, whole files to each, in the order of their names: the browser and the pages
	@# come first and the many short files last, so that both end together. Says how many passed.
	@# A pretended device has to be made known to PyTorch before it has computed anything: a process of its own.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "pretend and not all" tests/test_pretend_device.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 15 -rfEs

# What takes minutes and is left out of `make test`: every architecture of torchvision and many of timm.
test-all: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "pretend and all" tests/test_pretend_device.py
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m "all and not pretend" --durations 15 -rfEs

# The quick half of `make test`, for every save.
check: .venv/.test
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: .venv/.test
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

benchmarks: .venv/.test
	$(BIN)/python -m benchmarks

# docs/networks.md: what each analysis does with one network of every family. What is known is not asked again.
networks: .venv/.test
	OMP_NUM_THREADS=1 $(BIN)/python -m tests.families

# The pictures of Home's cards and of the README, taken anew from the running app.
pictures: .venv/.test
	$(BIN)/python docs/make_pictures.py

# What comes with the checkpoints: predictions of test images, and the answers that pages open on.
shipped: .venv/.test
	$(BIN)/python -m core ship
	$(BIN)/python docs/make_shipped.py

.venv/.app: requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX) -r requirements.txt
	touch $@

.venv/.test: requirements.txt requirements-test.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check $(TORCH_INDEX) -r requirements-test.txt
	touch $@ .venv/.app

clean:
	rm -rf .venv .convoscope
