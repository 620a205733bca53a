"""The gate as a node: its links by topics, its seats by services."""
