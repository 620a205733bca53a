#!/usr/bin/env bash
# Sets the project up in .venv/: a Python 3.12, the Debian packages of packages.txt (for `dev` those
# of packages-dev.txt too), and the package with the named extras at the versions of
# constraints.txt. Quick when nothing changed.
#
# Usage: scripts/setup.sh [EXTRA ...]      none: what `make demo` needs; dev: for `make test`
set -euo pipefail

cd "$(dirname "${BASH_SOURCE[0]}")/.."
root=$(pwd -P)
venv_python=.venv/bin/python

say() { echo "setup: $*" >&2; }
stop() { say "$*"; exit 1; }

# The commands to try as Python 3.12, one a line. A pyenv shim exists even where its version is
# not selected, so each has to prove itself by running.
candidates() {
    echo python3.12
    ls -1 "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12*/bin/python3.12 2>/dev/null | sort -rV || true
    UV_PYTHON_DOWNLOADS=never uv python find --no-project 3.12 2>/dev/null || true
}

is_python_312() {
    "$1" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 12))' </dev/null >/dev/null 2>&1
}

find_python() {
    local candidate
    while read -r candidate; do
        if is_python_312 "$candidate"; then
            echo "$candidate"
            return
        fi
    done < <(candidates)
    stop "no working Python 3.12 found (tried python3.12, pyenv, uv): install one with" \
        "'apt-get install python3.12-venv' (Ubuntu 24.04), 'pyenv install 3.12' or" \
        "'uv python install 3.12', then run this again."
}

# Installs the named Debian packages that are missing.
install_debian_packages() {
    local package as_root=() missing=()
    for package in "$@"; do
        [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] ||
            missing+=("$package")
    done
    [[ ${#missing[@]} -eq 0 ]] && return
    if [[ $(id -u) -ne 0 ]]; then
        command -v sudo >/dev/null ||
            stop "missing Debian packages: have an administrator run 'apt-get install" \
                "${missing[*]}', then run this again."
        as_root=(sudo)
        [[ -t 0 ]] || as_root=(sudo -n)
    fi
    say "installing Debian packages with '${as_root[*]:+sudo }apt-get install ${missing[*]}'"
    if ! { "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -qq --yes --no-install-recommends "${missing[@]}" >/dev/null; }; then
        stop "apt-get could not install ${missing[*]} (its own words are above): install" \
            "these packages by hand, then run this again."
    fi
}

install_system() {
    local packages files=(packages.txt)
    if wants dev; then files+=(packages-dev.txt); fi
    mapfile -t packages < <(sed -s -e 's/#.*//' -e 's/[[:space:]]*$//' "${files[@]}" | grep .)
    if command -v dpkg-query >/dev/null && command -v apt-get >/dev/null; then
        install_debian_packages "${packages[@]}"
    else
        say "this is no Debian or Ubuntu: please make sure that you have what is called" \
            "${packages[*]} there; going on."
    fi
}

# A virtual environment that was moved or copied would run and change the old one.
venv_is_usable() {
    [[ -x $venv_python ]] && is_python_312 "$venv_python" &&
        head -n 3 .venv/bin/pip 2>/dev/null | grep -qF "$root/.venv/bin/"
}

make_venv() {
    local python
    python=$(find_python) || exit 1
    if ! "$python" -c 'import ensurepip' 2>/dev/null; then
        command -v apt-get >/dev/null ||
            stop "$python cannot make virtual environments: install its venv package."
        install_debian_packages python3.12-venv
    fi
    [[ -e .venv ]] && say ".venv does not work here (moved, or another Python): making it anew"
    say "making .venv with $("$python" --version); filling it takes minutes and 5 GB of disk"
    "$python" -m venv --clear .venv
}

fingerprint() {
    { echo "$root $*"; cat pyproject.toml constraints.txt packages*.txt; } | sha256sum
}

stamp_is_fresh() {
    [[ -f .venv/.setup ]] && grep -qxF "$(fingerprint "$@")" .venv/.setup
}

wants() { [[ " ${extras[*]} " == *" $1 "* ]]; }

build_messages() { if wants dev || wants ros || wants peers; then scripts/ros_messages.sh; fi; }

extras=("$@")
if venv_is_usable && stamp_is_fresh "${extras[@]}"; then
    build_messages
    exit 0
fi
install_system
venv_is_usable || make_venv
requirement=.
[[ ${#extras[@]} -eq 0 ]] || requirement=".[$(IFS=,; echo "${extras[*]}")]"
say "installing $requirement into .venv"
"$venv_python" -m pip install --quiet --disable-pip-version-check \
    --constraint constraints.txt --editable "$requirement" ||
    stop "pip could not install $requirement (its own words are above): check the network and" \
        "that 6 GB are free, then run this again."
if wants dev || wants peers; then
    # It asks for an older numpy than ours but runs with this one: so it lies apart, unchanged,
    # and only the tests and benchmarks that talk to it look there.
    "$venv_python" -m pip install --quiet --disable-pip-version-check --no-deps --upgrade \
        --constraint constraints.txt --target .venv/openpi-client openpi-client ||
        stop "pip could not install openpi-client (its own words are above)."
fi
build_messages
# Whoever has an extra has the core as well; extras from before stay if nothing else changed.
stamps=$(if stamp_is_fresh; then cat .venv/.setup; fi)
{ echo "$stamps"; fingerprint; fingerprint "${extras[@]}"; } |
    grep . | sort -u >.venv/.setup
say "ready"
