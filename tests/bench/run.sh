#!/bin/sh
# Runs the benchmarks named, or all of them; results in build/bench/*.jsonl.
cd "$(dirname "$0")/../.." || exit 1
PATH=$(pg_config --bindir 2>/dev/null || ls -d /usr/lib/postgresql/*/bin | tail -1):$PATH
export PATH
exec build/venv/bin/python tests/bench/run.py "$@"
