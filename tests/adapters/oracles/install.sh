#!/usr/bin/env bash
# Puts the platforms' own libraries for Node where the tests look for them: $ONHAND_ORACLES, or .oracles in the clone.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${ONHAND_ORACLES:-$here/../../../.oracles}
mkdir -p "$folder"
cp "$here/package.json" "$here/package-lock.json" "$folder"
cd "$folder" && exec npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
