# One virtual environment, .venv, serves all targets; PYTHON names the interpreter that makes it.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)
VENV := .venv
LONG ?=
MINUTES ?= 60
RATE ?= 500
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

.PHONY: help demo test stack bench faults soak clean

help:
	@echo "make demo    show the main job on files and SQLite"
	@echo "make test    check everything, real Kafka and PostgreSQL included"
	@echo "make stack   run Kafka, PostgreSQL and Prometheus to play with, until Ctrl-C"
	@echo "make bench   measure the speed in some minutes, with a report; LONG=1 takes hours"
	@echo "make faults  break everything once, one after the other; SEED=... for the same payments"
	@echo "make soak    steady load while things break; MINUTES=60, RATE=500 (records/s), SEED=..."

demo: $(VENV)/installed
	@$(RUN) voltpay demo demo

test: $(VENV)/developing
	@$(RUN) python -m tests.harness.stack.provision
	@$(RUN) nox

stack: $(VENV)/developing
	@$(RUN) python -m tests.harness.stack.provision
	@exec env $(RUN) python -m tests.harness.stack

bench: $(VENV)/developing
	@$(RUN) python -m tests.harness.stack.provision
	@$(RUN) nox --session bench $(if $(LONG),-- --long)

faults: $(VENV)/developing
	@$(RUN) python -m tests.harness.stack.provision
	@$(RUN) nox --session faults

soak: $(VENV)/developing
	@$(RUN) python -m tests.harness.stack.provision
	@$(RUN) python -m tests.soak --minutes $(MINUTES) --rate $(RATE)

clean:
	rm -rf $(VENV) demo

$(VENV)/installed: pyproject.toml requirements/cli.txt $(VENV)/bin/pip
	@$(VENV)/bin/pip install --quiet --requirement requirements/cli.txt
	@$(VENV)/bin/pip install --quiet --no-deps --editable .
	@touch $@

$(VENV)/developing: pyproject.toml requirements/dev.txt $(VENV)/bin/pip
	@$(VENV)/bin/pip install --quiet --requirement requirements/dev.txt
	@$(VENV)/bin/pip install --quiet --no-deps --editable .
	@touch $@ $(VENV)/installed

# Debian keeps what makes a virtual environment in a package of its own.
$(VENV)/bin/pip:
	@test -n '$(PYTHON)' || { \
		echo 'make: missing: Python 3.11 or newer; install it, or name it: make PYTHON=python3.12' >&2; \
		exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null \
		|| { test "$$(id -u)" = 0 && command -v apt-get >/dev/null \
			&& apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
			"$$($(PYTHON) -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" >&2; } \
		|| { echo "make: missing: the module ensurepip of $(PYTHON); install python3-venv" >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV)
