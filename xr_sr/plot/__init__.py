"""Pictures of cubes (matplotlib, the extra "viz")."""

from __future__ import annotations

from ..cube import AnyCube
from .comparison import compare
from .views import Date

__all__ = ["AnyCube", "Date", "compare"]
