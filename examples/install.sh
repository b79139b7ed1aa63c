#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Installs the Debian packages that meshplan is built with; does nothing when all are there.
set -euo pipefail
packages=(g++ cmake ninja-build libfmt-dev libyaml-cpp-dev nlohmann-json3-dev libcli11-dev libeigen3-dev
  libboost-graph-dev libopenblas-dev libdnnl-dev libtomlplusplus-dev libjs-chart.js libhdf5-dev
  catch2)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'install ok installed' || missing+=("$package")
done
[ ${#missing[@]} -gt 0 ] || exit 0
sudo=
if [ "$(id -u)" != 0 ]; then
  command -v sudo >/dev/null || { echo "error: run as root, or install: ${missing[*]}" >&2; exit 6; }
  sudo=sudo
fi
command -v apt-get >/dev/null || { echo "error: not a Debian system; install: ${missing[*]}" >&2; exit 6; }
echo "installing: ${missing[*]}" >&2
$sudo apt-get update -qq
DEBIAN_FRONTEND=noninteractive $sudo apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
