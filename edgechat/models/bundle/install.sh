#!/bin/sh
# Installs edgechat from this stick: no network, no compiler, no root. Needs python3 (3.10 or newer) and nothing else.
#
#   sh install.sh [--trust FINGERPRINT]     check every file, install beside the old version, try it, switch to it
#   sh install.sh --rollback                go back to the version before
#   sh install.sh --help                    all options
set -eu
case $0 in */*) cd "${0%/*}" ;; esac
python=
for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
        python=$candidate
        break
    fi
done
if [ -z "$python" ]; then
    echo "edgechat needs Python 3.10 or newer, and this machine has $(python3 --version 2>/dev/null || echo none)." >&2
    exit 1
fi
# The installer checks all other files, this one too; so that a damaged installer does not check itself, this one checks it.
if ! "$python" -I -c 'import hashlib, sys
line = hashlib.sha256(open("install.py", "rb").read()).hexdigest() + "  install.py"
sys.exit(line not in open("SHA256SUMS").read().split("\n"))'; then
    echo "The stick is refused: install.py was changed. Nothing was installed. Export it again, perhaps onto another stick." >&2
    exit 7
fi
exec "$python" -I install.py "$@"
