# Every target makes the virtual environment .venv itself. `make help` lists the targets.

PYTHON ?= python3
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help book test lint browser sandbox lab grade exercises bench tidy clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

.venv/installed: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit(f"Python 3.11 or newer is needed, this is {v.major}.{v.minor}: call make with PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	@touch $@

.venv/installed-test: .venv/installed
	python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	@touch $@

# The cache knows the cells of a page, not the helper module and the figures that they read.
_build/executed-with: requirements.txt $(filter-out regbook/notebooks.py regbook/cli.py regbook/__main__.py,$(wildcard regbook/*.py regbook/checks/*.py)) \
		regbook/grading/grade.py regbook/grading/submission.py $(wildcard benchmarks/results/*)
	@rm -rf _build/.jupyter_cache _build/.doctrees
	@mkdir -p _build && touch $@

# Sphinx knows the pages, not the look of the book that surrounds them.
_build/rendered-with: $(wildcard _ext/*.py _static/* _static/*/* _templates/*)
	@rm -rf _build/.doctrees _build/html
	@mkdir -p _build && touch $@

# A page with a warning must be read again, or the next build would pass without it.
book: .venv/installed _build/executed-with _build/rendered-with ## execute what changed and build the HTML; warnings are errors
	jupyter-book build -W -n --keep-going . || { rm -rf _build/.doctrees; exit 1; }
	@echo "Open $(CURDIR)/_build/html/index.html in a browser."

# Two processes on two cores: with more than one thread each, they wait for each other.
test: export OMP_NUM_THREADS = 1
test: export TF_NUM_INTRAOP_THREADS = 1
test: export TF_NUM_INTEROP_THREADS = 1
test: lint browser sandbox book ## everything that CI runs
	python -m pytest

lint: .venv/installed-test ## ruff, spelling, notebook form and generated exercises
	pre-commit run --all-files --show-diff-on-failure

browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && apt-get install -y -qq chromium chromium-driver >/dev/null; \
	else echo "Chromium and ChromeDriver are missing: the browser tests will be skipped."; fi

# The tests of the grader need it too.
sandbox:
	@command -v bwrap >/dev/null || \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; \
	then apt-get update -qq && apt-get install -y -qq bubblewrap >/dev/null; \
	else echo "bubblewrap is missing: install your system's package of that name."; fi

grade: .venv/installed sandbox ## grade a class: make grade SUBMISSIONS=folder REPORT=folder
	@test -n "$(SUBMISSIONS)" && test -n "$(REPORT)" || { echo "Say what to grade and where to write: make grade SUBMISSIONS=folder REPORT=folder"; exit 2; }
	regbook grade "$(SUBMISSIONS)" --out "$(REPORT)" $(GRADE_OPTIONS)

lab: .venv/installed ## copy the exercises to work/, keep what is there, open JupyterLab
	python -m regbook.notebooks work
	cd work && jupyter lab $(LAB_OPTIONS)

exercises: .venv/installed ## derive chapters/*/exercises.ipynb from solutions/
	python -m regbook.notebooks exercises

bench: .venv/installed-test sandbox ## compare the grader with nbgrader and otter-grader (half an hour)
	python benchmarks/grading.py

tidy: .venv/installed-test ## format code, normalise notebooks
	ruff format regbook _ext tests benchmarks
	ruff format --line-length 88 chapters solutions appendix
	ruff check --fix .
	python -m regbook.notebooks tidy
	python -m regbook.notebooks exercises

clean: ## delete the built book and caches; .venv and work/ stay
	rm -rf _build .ruff_cache
