#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Pictures of a report in light, dark and at phone width, by headless Chromium (Debian: chromium).
# usage: screenshots.sh PAGE.html FOLDER
set -euo pipefail
[ $# = 2 ] || { echo "usage: $0 PAGE.html FOLDER" >&2; exit 2; }
command -v chromium >/dev/null || { echo "error: chromium is missing; apt-get install chromium" >&2; exit 6; }
page=$(realpath "$1")
mkdir -p "$2"
take() {
  local name=$1 width=$2 height=$3
  shift 3
  chromium --headless=new --no-sandbox --disable-gpu --hide-scrollbars --force-device-scale-factor=1 \
    --virtual-time-budget=4000 --window-size="$width,$height" "$@" \
    --screenshot="$folder/$name.png" "file://$page" >/dev/null 2>&1
  [ -s "$folder/$name.png" ] || { echo "error: no picture $name" >&2; exit 1; }
  echo "$folder/$name.png"
}
folder=$(realpath "$2")
take light 1280 4200
take dark 1280 4200 --blink-settings=preferredColorScheme=0
take phone 500 4200
