#!/usr/bin/env bash
# Installs the public MCP servers and clients that the tests run, in the pinned versions of
# tests/scripts/packages, into tests/env (git-ignored). Quick when that is done already. Debian
# packages are installed only for a tool that is missing, and only as root.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
manifests=$here/packages
env=$here/../env
stamp=$env/.installed

say() { printf 'setup: %s\n' "$*" >&2; }

# What they need from the system: `tool_is_there NAME` answers, `package_of NAME` names the remedy.
tool_is_there() {
  case $1 in
    venv) python3 -c 'import venv, ensurepip' 2>/dev/null ;;
    *) command -v "$1" >/dev/null ;;
  esac
}
package_of() {
  case $1 in
    node) echo nodejs ;;
    venv) echo python3-venv ;;
    ip) echo iproute2 ;;
    unshare) echo util-linux ;;
    *) echo "$1" ;;
  esac
}

missing=()
for tool in node npm python3 venv git ip unshare valgrind; do
  tool_is_there "$tool" || missing+=("$(package_of "$tool")")
done
if ((${#missing[@]})); then
  if [[ $(id -u) -ne 0 ]] || ! command -v apt-get >/dev/null; then
    say "missing: ${missing[*]}. Install them (on Debian: sudo apt-get install ${missing[*]}) and run this again."
    exit 1
  fi
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq </dev/null >&2
  apt-get install -y -qq --no-install-recommends "${missing[@]}" </dev/null >&2
fi

# The stamp names what was asked for and the interpreters that it was installed for.
wanted=$(
  cat "$manifests"/{.,conformance}/package{,-lock}.json "$manifests"/requirements-*.txt | cksum
  node --version
  python3 --version
  (cd "$here" && pwd)
)
if [[ -f $stamp && $(<"$stamp") == "$wanted" ]]; then
  exit 0
fi

mkdir -p "$env"
rm -rf "$stamp" "$env"/node_modules "$env"/venv-* "$env"/clients "$env"/conformance
mkdir "$env/conformance"

# Our own client programs, where Node.js looks for their packages beside them.
ln -s ../clients "$env/clients"

# `install_npm FOLDER`: one set of packages. No install scripts: no package here needs its own to run.
install_npm() {
  cp "$manifests/$1"/package.json "$manifests/$1"/package-lock.json "$manifests/$1"/.npmrc "$env/$1"/
  npm ci --prefix "$env/$1" --ignore-scripts --no-audit --no-fund --loglevel=error </dev/null >&2
}
# `install_python NAME`: a virtual environment with one set of requirements.
install_python() {
  python3 -m venv "$env/venv-$1"
  "$env/venv-$1/bin/pip" install --quiet --disable-pip-version-check --no-input \
    --requirement "$manifests/requirements-$1.txt" </dev/null >&2
}

# Side by side: they wait for the network, and none reads what another writes.
say "installing packages from npm and PyPI"
install_npm . & installs=($!)
# Apart from the others: the conformance suite needs a newer Node.js than the system's.
install_npm conformance & installs+=($!)
install_python mcp1 & installs+=($!)
install_python mcp2 & installs+=($!)
for install in "${installs[@]}"; do
  wait "$install"
done

printf '%s\n' "$wanted" >"$stamp"
say "done"
