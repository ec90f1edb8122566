"""Sub-networks and the decisions between them as one launch, where an accelerator can decide by itself."""

from weft.joining.decisions import join_decisions
from weft.joining.drivers import Drivers

__all__ = ["Drivers", "join_decisions"]
