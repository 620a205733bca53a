"""How durations read."""

from __future__ import annotations


def clock_text(seconds: float) -> str:
    """Return 0:07, 12:34 or 1:02:03."""
    whole = max(0, int(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def age_text(seconds: float | None) -> str:
    """Return 0.1 s, or 1:15 from a minute on."""
    if seconds is None:
        return "-"
    return f"{seconds:.1f} s" if seconds < 60 else clock_text(seconds)
