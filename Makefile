# make run starts everything, make test tests everything; both set up .venv first.
# The first Python on PATH that is new enough.
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)
PORT ?= 8000
HOST ?= 127.0.0.1
# Further arguments, such as UP="--no-demo" or ARGS="-k search".
UP ?=
ARGS ?=
# Images for containers often set it; each of many processes would then compile the same code again.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help run catalog bench test test-after-deployment lint check migrations deployment format lock audit clean

help:
	@echo "make run [PORT=8000]   set up and start medagg"
	@echo "make catalog           fill the catalog with 180 datasets, 1.5 million images"
	@echo "make test [ARGS=...]   run all tests"
	@echo "make lint              style, types, imports"
	@echo "make check             all that CI runs"
	@echo "make bench             measure everything that docs/benchmarks.md reports"
	@echo "make lock              lock requirements*.in into the .txt files, with hashes"
	@echo "make audit             ask for known vulnerabilities of the requirements (needs the network)"
	@echo "make clean             remove caches, never your data in var/"

pip = .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps

# Installs the file $(1) unless a stamp says that just this has been done. The sums of all
# requirements are in the stamp's name, so that a changed pin is noticed. The files name all that is
# needed, so nothing has to be resolved. What is imported, a third of it, is compiled then.
# uv, which developers have, takes a quarter of pip's time, but does not know what pip is told in
# its own settings, such as a mirror: where it fails, pip tries.
define install
[ -n "$(PYTHON)" ] || \
	{ echo "medagg: needs Python 3.11 or newer; name it if it is not on PATH: make run PYTHON=/path/to/python3" >&2; exit 1; }; \
name="$(subst /,-,$(1))"; \
stamp=".venv/installed-$$name-$$(cat requirements*.txt $(1) | cksum | tr ' ' -)"; \
if [ ! -e "$$stamp" ] || [ ! -x .venv/bin/python ]; then \
	[ -w . ] || { echo "medagg: cannot write to $$PWD" >&2; exit 1; }; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "medagg: Python's venv module is missing; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }; \
	.venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "Making .venv ..."; $(PYTHON) -m venv --clear .venv || exit 1; }; \
	echo "Installing $(1), which takes a minute ..."; \
	{ sed -n '/^uv==/,/[^\\]$$/p' $(1) > .venv/uv.txt && [ -s .venv/uv.txt ] && $(pip) -r .venv/uv.txt && \
		.venv/bin/uv pip install --quiet --no-config --python .venv/bin/python --no-deps --require-hashes -r $(1); } || \
	$(pip) -r $(1) || \
		{ echo "medagg: installing $(1) failed, see above" >&2; exit 1; }; \
	rm -f ".venv/installed-$$name-"*; \
	: > "$$stamp"; \
fi
endef

# exec, so that signals reach medagg itself and not only a shell in between.
run:
	@$(call install,requirements.txt); \
	exec .venv/bin/python manage.py up --host "$(HOST)" --port "$(PORT)" $(UP)

# Into the database of a medagg that runs, or of one that starts later.
catalog:
	@$(call install,requirements.txt); \
	$(call install,requirements-catalog.txt); \
	exec .venv/bin/python manage.py load_catalog $(ARGS)

# In a folder of its own, var/bench: your catalog is not touched.
bench:
	@$(call install,requirements-dev.txt); \
	$(call install,requirements-catalog.txt); \
	$(call install,benchmarks/requirements.txt); \
	exec .venv/bin/python -m benchmarks.run $(ARGS)

test:
	@$(call install,requirements-dev.txt); \
	exec .venv/bin/python -m pytest -n auto $(ARGS)

lint:
	@$(call install,requirements-dev.txt)
	.venv/bin/python -m ruff check .
	.venv/bin/python -m ruff format --check .
	.venv/bin/python -m mypy .
	.venv/bin/lint-imports --no-logo
	.venv/bin/bandit --quiet --configfile pyproject.toml --recursive manage.py medagg vocab catalog collections_app

format:
	@$(call install,requirements-dev.txt)
	.venv/bin/python -m ruff check --fix .
	.venv/bin/python -m ruff format .

# All dependencies with the hashes of all their files, for every platform and Python from 3.11 on.
# What is locked stays, unless a .in file asks for another version; LOCK=--upgrade renews the rest.
lock: export UV_CUSTOM_COMPILE_COMMAND = make lock
lock: compile = .venv/bin/uv pip compile --quiet --no-config --universal --python-version 3.11 \
	--generate-hashes $(LOCK)
lock:
	@$(call install,requirements-dev.txt)
	$(compile) requirements.in --output-file requirements.txt
	$(compile) requirements-dev.in --output-file requirements-dev.txt
	$(compile) --no-deps requirements-catalog.in --output-file requirements-catalog.txt
	$(compile) benchmarks/requirements.in --output-file benchmarks/requirements.txt

# Not in `check`: the service that knows vulnerabilities is not reachable from everywhere.
audit:
	@$(call install,requirements-dev.txt)
	@for file in requirements.txt requirements-dev.txt; do \
		echo "Asking for known vulnerabilities of $$file ..."; \
		.venv/bin/python -m pip_audit --strict --require-hashes --disable-pip --progress-spinner off -r "$$file" || \
			{ echo "medagg: $$file has known vulnerabilities, or nobody could be asked about it: see above" >&2; exit 1; }; \
	done

# On servers of its own, in a folder that is thrown away.
migrations:
	@$(call install,requirements-dev.txt)
	@var="$$(mktemp -d)" && trap 'rm -rf "$$var"' EXIT && unset DATABASE_URL REDIS_URL && \
	MEDAGG_ENV_FILE=/dev/null MEDAGG_VAR="$$var" \
		.venv/bin/python manage.py makemigrations --check --dry-run

# As docs and docker-compose.yml set it up: behind HTTPS, under a real name, with a real key.
deployment:
	@$(call install,requirements-dev.txt)
	@key() { .venv/bin/python -c 'import secrets; print(secrets.token_urlsafe(64))'; }; \
	SECRET_KEY="$$(key)" PSEUDONYM_KEY="$$(key)" DEBUG=0 HTTPS=1 ALLOWED_HOSTS=medagg.example.org \
		.venv/bin/python manage.py check --deploy --fail-level WARNING

# Beside each other: linters use one processor only, and so do the starts of commands.
# Other programs that tests need are installed beside ours; a test that misses one tries again.
check:
	@medagg/testing/install_programs.sh 2>/dev/null & $(call install,requirements-dev.txt)
	@$(MAKE) --no-print-directory --jobs=2 lint deployment test-after-deployment migrations

# `deployment` compiles what medagg imports. Four processes of tests at once would do it four times.
test-after-deployment: deployment
	@$(MAKE) --no-print-directory test

clean:
	rm -rf .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis test-results
	find . -name __pycache__ -not -path './.venv/*' -not -path './var/*' -prune -exec rm -rf {} +
