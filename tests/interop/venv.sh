#!/bin/sh
# Makes build/venv-interop from tests/interop/requirements.txt, unless it is there and current, and
# prints its Python. Where that cannot be had (no network), prints the tests' own, with which the
# tests that need a peer skip and say so.
cd "$(dirname "$0")/../.." || exit 1
want=tests/interop/requirements.txt
venv=build/venv-interop
if [ ! "$venv/.made" -nt "$want" ]; then
    if [ -z "${SKIP_DEPS:-}" ] && rm -rf "$venv" && python3 -m venv "$venv" &&
        "$venv/bin/pip" install --quiet --disable-pip-version-check -r "$want" >&2; then
        touch "$venv/.made"
    else
        rm -rf "$venv"
    fi
fi
if [ -x "$venv/bin/python" ]; then
    echo "$venv/bin/python"
else
    echo "${PYTHON:-python3}"
fi
