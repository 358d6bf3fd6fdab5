# Every target makes the virtual environment .venv itself. `make help` lists the targets.

PYTHON ?= python3
AXE_CORE = 4.14.1
export PATH := $(CURDIR)/.venv/bin:$(PATH)
PIP = python -m pip --disable-pip-version-check install --quiet

.PHONY: help book test lint system-packages lab grade chapter outputs exercises conventions constraints fuzz bench tidy clean
.DEFAULT_GOAL := help

help: ## list the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

.venv/installed: requirements.txt constraints.txt pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; (3, 11) <= v <= (3, 13) or sys.exit("Python 3.11, 3.12 or 3.13 is needed (TensorFlow has no files for others), and $(PYTHON) is {}.{}: call make with PYTHON=python3.13, for example.".format(*v))'
	$(PYTHON) -m venv .venv
	$(PIP) -r requirements.txt -c constraints.txt
	@touch $@

.venv/installed-test: .venv/installed
	$(PIP) -e '.[test]' -c constraints.txt
	@touch $@

# Sphinx knows the pages, not the look of the book that surrounds them.
_build/rendered-with: $(wildcard _ext/*.py _static/* _static/*/* _templates/*)
	@rm -rf _build/.doctrees _build/html _build/without-solutions
	@mkdir -p _build && touch $@

# The book of a class has a folder of its own, and takes the outputs of the pages from the same cache.
ifneq ($(filter-out solutions,$(WITHOUT)),)
$(error The book can be built without one thing, its solutions, and not without "$(WITHOUT)": make book WITHOUT=solutions)
endif
CLASS = $(if $(strip $(WITHOUT)),_build/without-solutions)
BUILD = $(if $(CLASS),$(CLASS)/)_build

# A page with a warning must be read again, or the next build would pass without it.
book: .venv/installed _build/rendered-with $(CLASS) ## execute what changed and build the HTML; warnings are errors; WITHOUT=solutions: for a class
	jupyter-book build -W -n --keep-going $(if $(CLASS),--path-output $(CLASS) --toc $(CLASS)/_toc.yml) . || { rm -rf $(BUILD)/.doctrees; exit 1; }
	@echo "Open $(CURDIR)/$(BUILD)/html/index.html in a browser."

.PHONY: _build/without-solutions
_build/without-solutions: .venv/installed _build/rendered-with
	@python -m regbook.chapters contents --without solutions
	@mkdir -p $@/_build _build/.jupyter_cache
	@ln -sfn ../../.jupyter_cache $@/_build/.jupyter_cache

# Two processes on two cores: with more than one thread each, they wait for each other.
test: export OMP_NUM_THREADS = 1
test: export TF_NUM_INTRAOP_THREADS = 1
test: export TF_NUM_INTEROP_THREADS = 1
test: lint _build/axe-core/axe.min.js $(if $(CHAPTER),,book) ## everything that CI runs; CHAPTER=10: what concerns one chapter
	python -m pytest $(if $(CHAPTER),--chapter=$(CHAPTER))

lint: .venv/installed-test ## ruff, types, spelling, notebook form and generated files
	pre-commit run --all-files --show-diff-on-failure

# The rules of accessibility, for a test in the browser.
_build/axe-core/axe.min.js: Makefile
	@mkdir -p $(@D)
	@if command -v npm >/dev/null; \
	then cd $(@D) && npm pack --silent axe-core@$(AXE_CORE) >/dev/null && tar -xzf axe-core-$(AXE_CORE).tgz --strip-components=1 package/axe.min.js && touch axe.min.js; \
	else echo "npm is missing: the tests of accessibility will be skipped."; fi

system-packages: ## install Chromium, its driver and bubblewrap with apt-get, for the tests and the grader
	apt-get update -qq
	apt-get install -y -qq bubblewrap chromium chromium-driver >/dev/null

grade: .venv/installed ## grade a class: make grade SUBMISSIONS=folder REPORT=folder
	@test -n "$(SUBMISSIONS)" && test -n "$(REPORT)" || { echo "Say what to grade and where to write: make grade SUBMISSIONS=folder REPORT=folder"; exit 2; }
	regbook grade "$(SUBMISSIONS)" --out "$(REPORT)" $(GRADE_OPTIONS)

lab: .venv/installed ## copy the exercises to work/, keep what is there, open JupyterLab
	python -m regbook.notebooks work
	jupyter lab --ServerApp.root_dir=. --LabApp.default_url=/lab/tree/work $(LAB_OPTIONS)

chapter: .venv/installed ## begin a chapter of chapters/contents.yml: make chapter SLUG=25_pruning
	@test -n "$(SLUG)" || { echo "Say which chapter: make chapter SLUG=25_pruning"; exit 2; }
	python -m regbook.chapters begin "$(SLUG)"
	python -m regbook.notebooks exercises
	python -m regbook.chapters contents

outputs: export REGBOOK_BUILD = 1
outputs: .venv/installed ## run the lesson and the laboratory of a chapter and store the outputs that CI checks: CHAPTER=25
	@test -n "$(CHAPTER)" || { echo "Say which chapter: make outputs CHAPTER=25"; exit 2; }
	jupyter nbconvert --log-level WARN --to notebook --execute --inplace chapters/$(CHAPTER)_*/l*.ipynb
	python -m regbook.notebooks tidy

exercises: .venv/installed ## derive chapters/*/exercises.ipynb from solutions/, and _toc.yml from the chapters
	python -m regbook.notebooks exercises
	python -m regbook.chapters contents

conventions: .venv/installed-test ## measure the differences between the libraries, for the page "Same word, different meaning"
	python -m pytest tests/pairs --write-conventions --numprocesses=0

constraints: ## write constraints.txt: the newest versions that requirements.txt allows
	rm -rf _build/fresh && $(PYTHON) -m venv _build/fresh
	_build/fresh/bin/$(PIP) -r requirements.txt -e '.[test]'
	@echo '# The exact version of every package, written by `make constraints`.' > constraints.txt
	_build/fresh/bin/python -m pip freeze --exclude-editable | sed 's/+cpu$$//' >> constraints.txt

fuzz: .venv/installed-test ## grade 3,000 drawn hostile submissions, with honest ones between them: CASES=N, FUZZ_SEED=S
	python -m pytest tests/grading/test_fuzz.py --fuzz=$(or $(CASES),3000) --fuzz-seed=$(or $(FUZZ_SEED),1) --dist=load -q

bench: .venv/installed-test ## compare the grader with nbgrader and otter-grader (half an hour)
	python benchmarks/grading.py

tidy: .venv/installed-test ## format code, normalise notebooks, derive what is generated
	ruff format regbook _ext tests benchmarks
	ruff format --line-length 88 chapters solutions appendix
	ruff check --fix .
	python -m regbook.notebooks tidy
	python -m regbook.notebooks exercises
	python -m regbook.chapters contents

clean: ## delete the built book and caches; .venv and work/ stay
	rm -rf _build .ruff_cache .mypy_cache
