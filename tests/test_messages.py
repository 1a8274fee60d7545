"""All messages of errors and warnings stand in one reviewed file, so that a change of wording is seen by a reader."""

from __future__ import annotations

import ast

from tests.messages import SNAPSHOT, _messages_of, messages

SOURCE = """
raise OptionError(f"side={side!r}: expected a number from 1 to {len(SIDES)}." "Choose one.")
warn_caller("two bands are left out", BandWarning)
raise StoreError(text)
print("not a message at all")
"""


def test_the_reviewed_messages_are_those_of_the_code():
    """After a change: `python -m tests.messages`, then read the difference."""
    assert SNAPSHOT.read_text(encoding="utf-8") == messages()


def test_a_message_is_found_with_what_is_filled_in():
    found = [text for node in ast.walk(ast.parse(SOURCE)) for _, text in _messages_of(node)]

    assert found == [
        "OptionError: side={side}: expected a number from 1 to {len(SIDES)}.Choose one.",
        "BandWarning: two bands are left out",
    ]
