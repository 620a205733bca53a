# `make demo` and `make test` are all that one needs; each sets up what it lacks.
SHELL := /bin/bash

.PHONY: help demo test ros bench lint types clean

help:
	@echo "make demo    set up, then run the whole loop in simulation and write a report"
	@echo "make test    set up, then run the tests"
	@echo "make ros     set up ROS 2's client library from wheels, and build our messages"
	@echo "make bench   set up, then run the quick forms of the benchmarks"
	@echo "make lint    ruff and the import rules"
	@echo "make types   pyright"
	@echo "make clean   remove caches; .venv/ and runs/ stay"

demo:
	@scripts/setup.sh
	.venv/bin/robot-rl run configs/runs/peg_insert.yaml

# A test that hangs where Python cannot interrupt it ends its worker, which is replaced twice.
test:
	@scripts/setup.sh dev
	.venv/bin/pytest -n 2 --dist loadfile --max-worker-restart 2 \
	    -o faulthandler_timeout=240 -o faulthandler_exit_on_timeout=true

ros:
	@scripts/setup.sh ros

bench:
	@scripts/setup.sh peers
	for bench in throughput lateness cartesian chunking contact fault_matrix learner learning \
	    serving replay dataset_io ros ros_faults page correction_session pauses; do \
	  .venv/bin/python scripts/bench/$$bench.py --quick --json runs/bench-quick/$$bench.json || exit; \
	done

lint:
	@scripts/setup.sh dev
	.venv/bin/ruff check
	.venv/bin/ruff format --check
	.venv/bin/lint-imports

types:
	@scripts/setup.sh dev
	.venv/bin/pyright

clean:
	rm -rf .pytest_cache .ruff_cache .hypothesis .import_linter_cache build dist
	find hardware robot_rl ros2_ws sim tests scripts -name __pycache__ -type d -prune -exec rm -rf {} +
