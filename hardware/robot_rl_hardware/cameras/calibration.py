"""A camera's calibration in the file format of ROS's camera_calibration."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, model_validator

from robot_rl.config.load import load
from robot_rl.config.model import Config
from robot_rl.core.errors import ConfigError

_COEFFICIENTS = {"plumb_bob": 5, "rational_polynomial": 8, "equidistant": 4}


class Matrix(Config):
    """Numbers row by row."""

    rows: int = Field(ge=1)
    cols: int = Field(ge=1)
    data: tuple[float, ...]

    @model_validator(mode="after")
    def _is_whole(self) -> Matrix:
        if len(self.data) != self.rows * self.cols:
            raise ValueError(f"{self.rows}x{self.cols} numbers expected, got {len(self.data)}")
        return self


class Calibration(Config):
    """What a camera does to light.

    Args:
        image_width, image_height: of the pictures it was made from [px].
        camera_name: of the camera.
        camera_matrix: K, 3x3: focal lengths and principal point [px].
        distortion_model: name of the model of the lens.
        distortion_coefficients: D, one row.
        rectification_matrix: R, 3x3.
        projection_matrix: P, 3x4.
    """

    image_width: int = Field(ge=1)
    image_height: int = Field(ge=1)
    camera_name: str = ""
    camera_matrix: Matrix
    distortion_model: str
    distortion_coefficients: Matrix
    rectification_matrix: Matrix
    projection_matrix: Matrix

    @model_validator(mode="after")
    def _has_shapes(self) -> Calibration:
        if self.distortion_model not in _COEFFICIENTS:
            raise ValueError(
                f"distortion_model {self.distortion_model!r}, expected one of: "
                f"{', '.join(_COEFFICIENTS)}"
            )
        expected = {
            "camera_matrix": (3, 3),
            "distortion_coefficients": (1, _COEFFICIENTS[self.distortion_model]),
            "rectification_matrix": (3, 3),
            "projection_matrix": (3, 4),
        }
        for key, shape in expected.items():
            matrix: Matrix = getattr(self, key)
            if (matrix.rows, matrix.cols) != shape:
                raise ValueError(
                    f"{key} is {matrix.rows}x{matrix.cols}, expected {shape[0]}x{shape[1]}"
                )
        return self


def load_calibration(path: Path, width: int, height: int) -> Calibration:
    """Read a calibration that must be of pictures of this size.

    Raises:
        ConfigError: if the file is missing or wrong, or of another size.
    """
    calibration = load(path, Calibration)
    got = calibration.image_width, calibration.image_height
    if got != (width, height):
        raise ConfigError(
            f"{path}: made at {got[0]}x{got[1]}, the camera gives {width}x{height}: calibrate at "
            "the size in use"
        )
    return calibration
