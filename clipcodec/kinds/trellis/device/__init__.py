"""Batches of a staged kind on a device, through torch, which is imported with this package."""

from .engine import DeviceEngine, Payloads

__all__ = ["DeviceEngine", "Payloads"]
