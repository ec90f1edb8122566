"""From an ONNX file to a normalized model, and from a QDQ model to the integer graph."""

from __future__ import annotations

from weft.frontend.from_torch import from_torch
from weft.frontend.integerize import integerize
from weft.frontend.load import load
from weft.frontend.model import Model
from weft.frontend.normalize import normalize
from weft.frontend.rebind import rebind
from weft.frontend.session import default_session, reference_session

__all__ = ["Model", "default_session", "from_torch", "integerize", "load", "normalize", "rebind", "reference_session"]
