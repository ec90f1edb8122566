"""For vendors of accelerators: the conformance kit (needs pytest, as `pip install 'weft[test]'` gives it).

# test_conformance.py
from weft.testing import conformance
from my_package import BACKEND

TestMyBackend = conformance(BACKEND)
"""

from __future__ import annotations

from weft.testing.suite import Conformance, conformance

__all__ = ["Conformance", "conformance"]
