"""Drivers of devices, one a file; each samples by itself and is a `core.protocol.Sensor`."""
