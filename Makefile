# The ways in. Each target is one small script, which also runs on its own.

.DEFAULT_GOAL := help
.PHONY: help run uninstall test attack fuzz vm-test vm-compare vm-matrix bench dist deb image image-test clean

help: ## say what there is
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | \
	while IFS='|' read -r target meaning; do printf '  %-16s %s\n' "$$target" "$$meaning"; done

run: ## as root: install bustd under /opt/bustd and protect this machine, in the foreground (ARGS="-V -p 40")
	@sh packaging/run.sh $(ARGS)

uninstall: ## as root: take everything back that "make run" put on this machine
	@sh packaging/uninstall.sh

test: ## every check, in a virtual environment of the tree's own (ARGS="-k codec" for some of the tests)
	@sh packaging/test-environment.sh
	@sh tests/run.sh $(ARGS)

attack: ## every attack of tests/hostile, and a table: what, who, and how it ended (as root: all of them)
	@sh packaging/test-environment.sh
	@sh tests/attack.sh $(ARGS)

fuzz: ## every reader and the killer's loop by random input, guided by coverage (ARGS="--minutes 30")
	@sh packaging/test-environment.sh
	@sh tests/fuzz/run.sh $(ARGS)

vm-test: ## as root: install the package in a booted Debian 13 and run it out of memory (ARGS="fast-leak" for one scenario)
	@sh tests/vm/run.sh test $(ARGS)

vm-compare: ## as root: the same under earlyoom, nohang, systemd-oomd and the bare kernel; writes docs/comparison.md
	@sh tests/vm/run.sh compare $(ARGS)

vm-matrix: ## as root: the package on Debian 12, 13 and forky, each booted; writes its table (ARGS="forky fast-leak")
	@sh tests/vm/run.sh matrix $(ARGS)

bench: ## measure; prints a table and writes bench.json
	@sh packaging/test-environment.sh
	@.venv/bin/python -m tests.bench $(ARGS)

dist: ## the wheel and the source archive, in dist/
	@sh packaging/dist.sh

deb: ## the Debian package, in dist/
	@sh packaging/deb.sh

image: ## as root: the container image, in dist/ (BASE=mmdebstrap where no registry can be reached)
	@sh packaging/container/build.sh

image-test: ## as root: run the image in dist/ with podman and runc, beside a leak, in a PID namespace of its own
	@sh packaging/test-environment.sh
	@sh packaging/container/test.sh $(ARGS)

clean: ## remove what the other targets left in the tree
	@sh packaging/clean.sh
