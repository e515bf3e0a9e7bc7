#!/bin/sh
# Removes what make leaves in the tree. Everything here is in .gitignore too.
set -eu
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
cd "$(dirname -- "$here")"
rm -rf .venv .fuzz fuzz-crashes dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage .coverage.* bench.json vm-results.jsonl vm-matrix-*.jsonl
find . -name __pycache__ -type d -prune -exec rm -rf {} +
