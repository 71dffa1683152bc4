# Thin wrappers round the commands in README.md. The virtual environment is made once per pyproject.toml.
PYTHON ?= python3
BIN = .venv/bin

.PHONY: demo test bench check clean

.venv/run: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --editable .
	touch $@

.venv/test: .venv/run
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

.venv/bench: .venv/run
	$(BIN)/pip install --quiet --editable '.[bench]'
	touch $@

.venv/check: .venv/test
	$(BIN)/pip install --quiet 'ruff>=0.6' 'mypy>=1.11'
	touch $@

demo: .venv/run
	$(BIN)/gpac report examples/networks/digits_tanh_64_32_16_10.onnx --inputs examples/data/digits_test.npz

test: .venv/test
	$(BIN)/python -m pytest

# make bench JOBS="J1 J2" PEERS=folder-of-virtual-environments WRITE=1, all optional
bench: $(if $(PEERS),.venv/run,.venv/bench)
	cd tests && PYTHONPATH=.. OPENBLAS_NUM_THREADS=1 $(if $(PEERS),PEERS='$(abspath $(PEERS))') ../$(BIN)/python -m benchmarks $(JOBS) $(if $(WRITE),--write)

check: .venv/check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf .venv report
