from __future__ import annotations

from typing import Annotated

import pytest
from pydantic import ValidationError

from robot_rl.config.model import Component, ComponentField, Config, import_path


class Motor(Config):
    gain: float

    def build(self) -> float:
        return self.gain


class StrongMotor(Motor):
    boost: float = 2.0


class FixedHolder(Config):
    motor: Motor


class Plain(Config):
    size: int = 1


class Holder(Config):
    part: Component


class MotorHolder(Config):
    motor: Annotated[Motor, ComponentField()]


def test_ready_config_is_kept_as_the_component_it_is() -> None:
    motor = StrongMotor(gain=1.5)
    holder = Holder(part=motor)
    assert holder.part is motor
    assert holder.part.build() == 1.5


def test_dump_of_a_component_carries_its_type_and_the_fields_of_the_subclass() -> None:
    assert Holder(part=StrongMotor(gain=1.0)).model_dump() == {
        "part": {"type": import_path(StrongMotor), "gain": 1.0, "boost": 2.0}
    }


def test_dump_of_a_config_without_build_has_no_type() -> None:
    assert Plain().model_dump() == {"size": 1}


def test_bound_field_accepts_subclasses_and_refuses_others() -> None:
    assert MotorHolder(motor=StrongMotor(gain=1.0)).motor.gain == 1.0
    with pytest.raises(ValidationError, match=r"expected .*:Motor"):
        MotorHolder.model_validate({"motor": Plain()})


def test_type_of_another_class_is_refused_where_the_class_is_fixed() -> None:
    with pytest.raises(ValidationError, match=r"expected '.*:Motor'"):
        Motor.model_validate({"type": "other.module:Class", "gain": 1.0})


def test_dump_of_a_fixed_component_is_accepted_again() -> None:
    holder = FixedHolder(motor=Motor(gain=1.0))
    dumped = holder.model_dump(mode="json")
    assert dumped["motor"]["type"] == import_path(Motor)
    assert FixedHolder.model_validate(dumped) == holder


def test_field_named_type_is_refused_when_the_class_is_defined() -> None:
    with pytest.raises(TypeError, match="rename the field"):

        class Bad(Config):  # pyright: ignore[reportUnusedClass]
            type: str


def test_nan_is_refused() -> None:
    with pytest.raises(ValidationError, match="finite number"):
        Motor(gain=float("nan"))
