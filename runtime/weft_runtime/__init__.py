"""The host runtime: executables, their artifact file, devices, and sessions that run them."""

from __future__ import annotations

from weft_runtime.artifact import is_artifact, load, load_variants, save
from weft_runtime.backend import DeviceBackend, register_backend
from weft_runtime.devices import (
    Device,
    GoldenDevice,
    SimulatorDevice,
    device_names,
    open_device,
    register_device,
)
from weft_runtime.errors import (
    ArtifactError,
    BackendError,
    DeviceError,
    DeviceUnavailableError,
    ExecutableError,
    HostError,
    InputError,
    LayoutError,
    SessionError,
)
from weft_runtime.executable import (
    REGISTER_CONSTANTS,
    REGISTER_IO,
    REGISTER_WORKSPACE,
    Executable,
    HostGraph,
    Layout,
    NodeReport,
    PartitionCandidate,
    PartitionReport,
    Processor,
    ProcessorCost,
    Region,
    Step,
    TensorBinding,
    TensorSignature,
)
from weft_runtime.layout import pack, unpack
from weft_runtime.memory import DeviceMemoryPlan, plan_memory
from weft_runtime.npu import machine_of, npu_processor
from weft_runtime.profile import NodeProfile, Profile, RegionProfile
from weft_runtime.session import Session, shared_devices
from weft_runtime.sharing import SharedDevices
from weft_runtime.validate import validate
from weft_runtime.variants import ExecutableSource, Variants

__all__ = [
    "REGISTER_CONSTANTS",
    "REGISTER_IO",
    "REGISTER_WORKSPACE",
    "ArtifactError",
    "BackendError",
    "Device",
    "DeviceBackend",
    "DeviceError",
    "DeviceMemoryPlan",
    "DeviceUnavailableError",
    "Executable",
    "ExecutableError",
    "ExecutableSource",
    "GoldenDevice",
    "HostError",
    "HostGraph",
    "InputError",
    "Layout",
    "LayoutError",
    "NodeProfile",
    "NodeReport",
    "PartitionCandidate",
    "PartitionReport",
    "Processor",
    "ProcessorCost",
    "Profile",
    "Region",
    "RegionProfile",
    "Session",
    "SessionError",
    "SharedDevices",
    "SimulatorDevice",
    "Step",
    "TensorBinding",
    "TensorSignature",
    "Variants",
    "device_names",
    "is_artifact",
    "load",
    "load_variants",
    "machine_of",
    "npu_processor",
    "open_device",
    "pack",
    "plan_memory",
    "register_backend",
    "register_device",
    "save",
    "shared_devices",
    "unpack",
    "validate",
]
