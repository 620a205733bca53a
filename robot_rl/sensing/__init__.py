"""From stamped samples of several devices to one aligned observation; faults that stamps hide."""
