from __future__ import annotations

import platform
import re

import numpy as np

from robot_rl.config.model import Config
from robot_rl.config.provenance import config_hash, provenance


class Settings(Config):
    rate: float
    sizes: tuple[int, ...] = (1, 2)


def test_provenance_names_code_python_and_libraries() -> None:
    record = provenance()
    assert record.python == platform.python_version()
    assert record.libraries["numpy"] == np.__version__
    assert re.fullmatch(r"[\w.+-]+", record.code_version)


def test_config_hash_is_16_hex_digits_and_depends_on_values_alone() -> None:
    first = config_hash(Settings(rate=0.5))
    assert re.fullmatch(r"[0-9a-f]{16}", first)
    assert first == config_hash(Settings(sizes=(1, 2), rate=0.5))
    assert first != config_hash(Settings(rate=0.25))
    assert first != config_hash(Settings(rate=0.5, sizes=(2, 1)))
