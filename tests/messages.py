"""All messages of errors and warnings in the package, written to one file that a reviewer can read.

`python -m tests.messages` writes `messages.txt` anew; `test_messages.py` compares. What a message fills in stands in
braces.
"""

from __future__ import annotations

import ast
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "xr_sr"
SNAPSHOT = Path(__file__).with_name("messages.txt")
ENDINGS = ("Error", "Warning")


def messages() -> str:
    """Return the messages by module, in the order of the code: the class, and the text."""
    pages = []
    for path in sorted(PACKAGE.rglob("*.py")):
        lines = [line for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) for line in _messages_of(node)]
        if lines:
            name = path.relative_to(PACKAGE.parent).as_posix()
            pages.append("\n".join([f"# {name}", *(text for _, text in sorted(lines))]))
    return "\n\n".join(pages) + "\n"


def _messages_of(node: ast.AST) -> list[tuple[int, str]]:
    """Return (line, "Class: text") of a call that makes an error or issues a warning, and has text."""
    if not isinstance(node, ast.Call):
        return []
    name = _name(node.func)
    kind = name if name.endswith(ENDINGS) else next((_name(arg) for arg in node.args if _is_class(arg)), "")
    if not kind or not (name.endswith(ENDINGS) or "warn" in name or name in ("Finding", "note")):
        return []
    texts = [text for arg in node.args if (text := _text(arg)) and len(text.split()) > 2]
    return [(node.lineno, f"{kind}: {' '.join(texts)}")] if texts else []


def _is_class(node: ast.expr) -> bool:
    return _name(node).endswith(ENDINGS)


def _name(node: ast.expr) -> str:
    """Return the last part of a name, or the text of a constant: some warnings are named by text."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) and " " not in node.value else ""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def _text(node: ast.expr) -> str:
    """Return literal text, with what is filled in as source code in braces."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            value.value if isinstance(value, ast.Constant) else f"{{{ast.unparse(value.value)}}}"  # type: ignore[attr-defined]
            for value in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


if __name__ == "__main__":
    SNAPSHOT.write_text(messages(), encoding="utf-8")
