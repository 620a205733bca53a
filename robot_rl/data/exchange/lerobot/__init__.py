"""LeRobotDataset v3: written, read, examined and repaired."""
