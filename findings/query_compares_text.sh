#!/usr/bin/env bash
# pystac-client 0.9.1: a comparison in `query=[...]` is sent with the number as text, so "9" is greater than "10".
#
# Expected: query=["eo:cloud_cover<10"] asks for what query={"eo:cloud_cover": {"lt": 10}} asks for; the documentation of
#   the parameter and of the command line shows such comparisons with cloud cover.
# Seen: {"eo:cloud_cover": {"lt": "10"}}. Only `gsd` becomes a number. Servers differ: one
#   that compares JSON values by type finds nothing, one that compares text finds 100 below 20.
# What follows: write comparisons with numbers as dictionaries, or as JSON texts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"${PYTHON:-python3.11}" -m venv "$folder/env"
"$folder/env/bin/pip" install -qq --disable-pip-version-check pystac-client==0.9.1 pystac==1.14.1
"$folder/env/bin/python" - <<'PYTHON'
from importlib.metadata import version

from pystac_client import ItemSearch


def sent(query: object) -> dict:
    return ItemSearch("https://stac.example/search", collections=["sentinel-2-l2a"], query=query).get_parameters()["query"]


texts, numbers = sent(["eo:cloud_cover<10", "gsd=10"]), sent({"eo:cloud_cover": {"lt": 10}, "gsd": {"eq": 10}})
print(f"pystac-client {version('pystac-client')}")
print(f"expected: {numbers}")
print(f"seen: {texts}")
assert texts["eo:cloud_cover"] == {"lt": "10"}, "numbers are sent as numbers now"
assert texts["gsd"] == {"eq": 10.0}
PYTHON
