"""All messages of errors and warnings stand in one reviewed file, so that a change of wording is seen by a reader."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

import pytest

from tests.messages import SNAPSHOT, _messages_of, _text, messages

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


def plain_words(pattern: str) -> int:
    """Count the longest run of words that are nothing but letters: no name in quotes, no number, no argument."""
    runs = groupby(pattern.split(), key=lambda word: re.fullmatch(r"[A-Za-z]+[,;.]?", word) is not None)
    return max((len(list(words)) for plain, words in runs if plain), default=0)


def patterns_of(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each `match=` in a file of tests; what an f-string fills in stands in braces."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            yield from ((each.value.lineno, _text(each.value)) for each in node.keywords if each.arg == "match")


def test_errors_are_matched_by_names_and_not_by_sentences():
    """At most three plain words in a row. The wording is reviewed in the file of messages, not in each test.

    Patterns that come from `parametrize` or a loop are not seen: which texts of a list are patterns cannot be known.
    """
    tests = Path(__file__).parent
    wrong = [
        f"{path.relative_to(tests)}, line {line}: {text}"
        for path in sorted(tests.rglob("test_*.py"))
        for line, text in patterns_of(path)
        if plain_words(text) > 3
    ]

    assert not wrong


@pytest.mark.parametrize(
    ("pattern", "count"),
    [
        ("the store is being written by", 6),
        (r"level=.*expected a whole number of a level, or 'all'", 7),
        (r"'B04' .*'B08'", 0),
        ("no item", 2),
    ],
)
def test_plain_words_in_a_row_are_counted(pattern, count):
    assert plain_words(pattern) == count
