"""Jerk-limited ways of joints and tool, planned and looked at before they are driven."""
