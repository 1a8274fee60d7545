#!/usr/bin/env bash
# icechunk 2.3.0, zarr 3.4.2: a session with uncommitted changes can be forked, though `Session.fork` says it raises.
#
# Expected (docstring of Session.fork, "Raises"): ValueError when the session already has uncommitted changes, so that all
# metadata must be committed before work is distributed.
# Seen: fork() returns a ForkSession that holds the uncommitted changes; what is written to a pickled copy of it can be
# merged back, and changes that the session got in between stay.
# What follows: one session can write metadata, fork for the workers and merge again and again, with one commit at the end. With
# icechunk 1.x the ValueError is real, and a commit is needed first.
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

python=${PYTHON:-}
for name in python3.12 python3.13; do
    if [ -z "$python" ] && "$name" -c '' 2>/dev/null; then python=$name; fi
done
[ -n "$python" ] || python=$(find "${PYENV_ROOT:-$HOME/.pyenv}/versions" -maxdepth 3 -path '*/3.1[23].*/bin/python' | sort -V | head -n 1)
"$python" -m venv "$work/venv"
"$work/venv/bin/python" -m pip install -qq icechunk==2.3.0 zarr==3.4.2

cat > "$work/look.py" <<'EOF'
import pickle
import sys

import icechunk
import zarr

session = icechunk.Repository.create(icechunk.local_filesystem_storage(sys.argv[1])).writable_session("main")
array = zarr.create_group(session.store).create_array("a", shape=(2,), chunks=(1,), dtype="i2", fill_value=0)
print("icechunk", icechunk.__version__)
print("documented:", "When `self` already has uncommitted changes" in icechunk.Session.fork.__doc__)
print("uncommitted changes:", session.has_uncommitted_changes)
print("expected: ValueError")
try:
    copy = pickle.loads(pickle.dumps(session.fork()))
except ValueError as error:
    print("seen: ValueError:", error)
    raise SystemExit(1) from None
array[0] = 1
zarr.open_array(copy.store, path="a")[1] = 2
session.merge(copy)
merged = zarr.open_array(session.store, path="a", mode="r")[:].tolist()
print("seen: a fork; after a write on each side and a merge the session holds", merged)
raise SystemExit(0 if merged == [1, 2] else 1)
EOF
"$work/venv/bin/python" "$work/look.py" "$work/repository" 2>/dev/null
