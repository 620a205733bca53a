"""Writing to disk for keeps, and disks that fail for tests."""
