#!/usr/bin/env bash
# Compares every recipe on the same edits and writes docs/COMPARISON.md; killed, the same command carries on.
# Usage: [PYTHON=python3] [LIFELONG_DATA=DIR] benchmarks/compare.sh [--edits N] [--study N ...] [--help]
set -euo pipefail
cd "$(dirname "$0")/.."
exec "${PYTHON:-.venv/bin/python}" -m benchmarks.compare "$@"
