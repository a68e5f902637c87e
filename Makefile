# Each target works alone on a fresh Debian or Ubuntu with python3, make and apt; what one needs and may not
# install itself, it names.
SHARE ?= export
PYTHON := .venv/bin/python
CHECKED := smbdirect transport server torture benchmarks fuzz

.PHONY: serve venv test torture hwtest bench lint fuzz

serve: venv
	@$(PYTHON) -m server.quickstart --share '$(SHARE)'

venv:
	@python3 scripts/environment.py

test:
	@python3 scripts/packages.py test $(BACKPORTS)
	@python3 scripts/environment.py test
	$(PYTHON) -m pytest $(TESTS)

# HELD=torture/held.txt runs only the tests that have passed before, and fails when one does not.
torture:
	@python3 scripts/packages.py test $(BACKPORTS)
	@python3 scripts/environment.py test
	$(PYTHON) -m torture.run $(if $(HELD),--held $(HELD)) $(TORTURE)

hwtest:
	@python3 scripts/packages.py test $(BACKPORTS)
	@python3 scripts/environment.py test
	$(PYTHON) -m pytest hwtests

# BENCH="--rounds 3" is for each of them.
bench:
	@python3 scripts/packages.py bench $(BACKPORTS)
	@python3 scripts/environment.py test
	$(PYTHON) -m benchmarks.samba --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.loopback --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.workers --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.ksmbd --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.iozone --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.rdma --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.shared_state --output benchmarks/RESULTS.md $(BENCH)
	$(PYTHON) -m benchmarks.aims benchmarks/RESULTS.md

lint:
	@python3 scripts/environment.py test dev
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict $(addprefix -p ,$(CHECKED))
	.venv/bin/mypy --strict scripts/environment.py

# SECONDS is for each target.
fuzz:
	@python3 scripts/environment.py test fuzz
	$(PYTHON) -m fuzz.run --seconds $(or $(SECONDS),60)
