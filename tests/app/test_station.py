from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from types import TracebackType
from typing import Any, ClassVar, Self

import numpy as np
import pytest

from robot_rl.app.run_config import RunConfig
from robot_rl.app.station import Station, opened
from robot_rl.config.model import Config
from robot_rl.core.errors import HardwareError
from robot_rl.core.protocol import Bench, OperatorInput
from robot_rl.core.types import Observation


class Person:
    """Holds nothing."""

    name = "person"

    def __init__(self, at: Bench) -> None:
        self.at = at

    def reset(self, seed: int) -> None:
        pass

    def poll(self, observation: Observation) -> OperatorInput:
        return OperatorInput(active=False, action=np.zeros(2, np.float32))


class Holder(Person):
    """Holds a device."""

    def __init__(self, at: Bench) -> None:
        super().__init__(at)
        self.calls: list[str] = []

    def __enter__(self) -> Self:
        self.calls.append("opened")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.calls.append("closed")


class PersonConfig(Config):
    holds: bool

    built: ClassVar[list[Any]] = []

    def build(self, bench: Bench) -> Person:
        self.built.append((Holder if self.holds else Person)(bench))
        return self.built[-1]


@pytest.fixture
def station(make_config: Callable[..., RunConfig]) -> Iterator[Station]:
    PersonConfig.built.clear()
    station = Station.of_run(make_config())
    yield station
    station.bench.close()


def test_a_person_with_a_device_is_open_while_seated(station: Station) -> None:
    with station.seated("demonstrator", PersonConfig(holds=True)) as person:
        assert isinstance(person, Holder)
        assert person.at is station.bench
        assert person.calls == ["opened"]
    assert person.calls == ["opened", "closed"]


def test_the_device_is_closed_where_the_run_fails(station: Station) -> None:
    with (
        pytest.raises(HardwareError, match="the robot is silent"),
        opened(PersonConfig(holds=True), station.bench),
    ):
        raise HardwareError("the robot is silent")
    (person,) = PersonConfig.built
    assert person.calls == ["opened", "closed"]


def test_a_person_who_holds_nothing_just_sits_there(station: Station) -> None:
    with station.seated("demonstrator", PersonConfig(holds=False)) as person:
        assert isinstance(person, Person)
        assert person.at is station.bench


def test_whoever_sits_there_already_is_not_opened_again(station: Station) -> None:
    sits = Holder(station.bench)
    taken = replace(station, seats={"supervisor": sits})
    with taken.seated("supervisor", PersonConfig(holds=True)) as person:
        assert person is sits
    assert sits.calls == []
    assert PersonConfig.built == []
    with taken.seated("demonstrator", PersonConfig(holds=True)) as other:
        assert other is not sits
