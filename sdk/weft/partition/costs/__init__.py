"""What it costs to run something somewhere: host profiles, accelerator cycles, transfers, launches."""

from __future__ import annotations

from weft.partition.costs.cycles import OperatorCycles
from weft.partition.costs.model import Accelerator, CostModel
from weft.partition.costs.profile import DEFAULT_HOST, HostProfile, host_profile, profile_names

__all__ = ["DEFAULT_HOST", "Accelerator", "CostModel", "HostProfile", "OperatorCycles", "host_profile", "profile_names"]
