"""Batches of a staged kind on a device, through torch, which is imported with this package."""

from .engine import DeviceEngine
from .kind import StagedOnDevice

__all__ = ["DeviceEngine", "StagedOnDevice"]
