"""Records small datasets with lerobot's own writer; run as a program, to be killed at the end.

Usage: recorder.py FOLDER: makes FOLDER/video and FOLDER/blind, finalised, and
FOLDER/killed, saved but not finalised; then says "saved" and waits for the end.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import RGBEncoderConfig
from lerobot.datasets.lerobot_dataset import LeRobotDataset

CAMERA = "observation.images.wrist"
LENGTHS = (6, 7, 8, 6, 7)
FPS = 10


def record(root: Path, *, camera: bool) -> Any:
    """Record the episodes with lerobot's own writer; the caller finalises."""
    features: dict[str, Any] = {
        "observation.state": {"dtype": "float32", "shape": (3,), "names": ["a", "b", "c"]},
        "action": {"dtype": "float32", "shape": (2,), "names": ["x", "y"]},
        "next.reward": {"dtype": "float32", "shape": (1,), "names": None},
    }
    if camera:
        features[CAMERA] = {
            "dtype": "video",
            "shape": (64, 96, 3),
            "names": ["height", "width", "channels"],
        }
    dataset = LeRobotDataset.create(
        "local/doctor", FPS, features, root=root, rgb_encoder=RGBEncoderConfig(vcodec="h264")
    )
    for episode, length in enumerate(LENGTHS):
        for frame in range(length):
            values: dict[str, Any] = {
                "observation.state": np.array([episode, frame, 0.5], np.float32),
                "action": np.array([0.1 * frame, -0.1], np.float32),
                "next.reward": np.array([frame], np.float32),
                "task": "push" if episode < 2 else "pull",
            }
            if camera:
                values[CAMERA] = np.full((64, 96, 3), 20 * frame + episode, np.uint8)
            dataset.add_frame(values)
        dataset.save_episode()
    return dataset


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    record(folder / "video", camera=True).finalize()
    record(folder / "blind", camera=False).finalize()
    unfinished = record(folder / "killed", camera=False)
    os.write(1, b"saved\n")
    time.sleep(600)
    del unfinished


if __name__ == "__main__":
    main(Path(sys.argv[1]))
