#!/bin/sh
# Chromium for the browser tests, from Debian, where we may install it. Elsewhere those tests skip and say so.
set -e
command -v apt-get >/dev/null || { echo "no apt-get: install Chromium by hand for the browser tests"; exit 1; }
if [ "$(id -u)" = 0 ]; then SUDO=""; else SUDO="sudo -n"; fi
$SUDO apt-get update -q && $SUDO apt-get install -y -q --no-install-recommends chromium
