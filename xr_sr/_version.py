"""The version of the package, in its one place.

A literal: reading it from the installed metadata would cost at import, and fail where the source runs uninstalled.
"""

__version__ = "0.1.0"
