#!/bin/sh
# Make the virtual environment, for `make setup`: venv.sh DIRECTORY [PYTHON]
#
# The interpreter is the newest that RUNS, not the newest that is found: pyenv puts a shim called python3.13 on PATH
# for every version it has, and those that are not switched on exit with 127. With uv this takes 3 s, with pip 15.
set -eu
venv=$1
python=${2:-}

usable() { # prints the real path of an interpreter >= 3.8, behind any shim
    "$1" -c 'import sys; assert sys.version_info >= (3, 8); print(sys.executable)' 2>/dev/null </dev/null
}

if [ -n "$python" ]; then
    real=$(usable "$python") || { echo "setup: $python is no Python >= 3.8; name another: make setup PYTHON=..." >&2; exit 4; }
else
    real=
    for name in python3.13 python3.12 python3.11 python3.10 python3.9 python3.8 python3 python; do
        real=$(usable "$name") && break
    done
    [ -n "$real" ] || { echo "setup: no Python >= 3.8 on PATH; install one, or name it: make setup PYTHON=..." >&2; exit 3; }
fi

uv=$(command -v uv 2>/dev/null || true)
[ -z "$uv" ] || "$uv" --version >/dev/null 2>&1 || uv= # a shim, once more

if [ -n "$python" ] || ! "$venv/bin/python" -c '' 2>/dev/null; then # not there, or its interpreter is gone
    rm -rf "$venv"
    echo "setup: $venv with $("$real" -c 'import platform as p; print(p.python_implementation(), p.python_version())') ($real)"
    if [ -n "$uv" ]; then
        "$uv" venv --quiet --seed --python "$real" "$venv"
    else
        "$real" -m venv "$venv" || {
            rm -rf "$venv"
            echo "setup: $real cannot make virtual environments; on Debian: apt-get install python3-venv" >&2
            exit 3
        }
    fi
fi

echo "setup: installing the tools that pyproject.toml names"
if [ -n "$uv" ] && "$uv" pip install --quiet --python "$venv/bin/python" -e '.[dev]'; then
    exit 0
fi # uv knows nothing of pip.conf, where a site may name its own index: pip gets its chance
"$venv/bin/python" -m pip install -qq -e '.[dev]'
