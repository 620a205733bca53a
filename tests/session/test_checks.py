import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from robot_rl.app.run_config import CellConfig
from robot_rl.config.load import load
from robot_rl.control.safety import SafetyGate
from robot_rl.core.clock import NS_PER_S, ManualClock, MonotonicClock
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.protocol import Judgement, OperatorEvent, OperatorInput
from robot_rl.core.recording import RecordingSpec
from robot_rl.core.spec import (
    WRENCH,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    RobotSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import GateState, Observation, Outcome
from robot_rl.data.disk.durable import Disk
from robot_rl.data.store.recording import expected_bytes
from robot_rl.session.checks import checks_of
from robot_rl.session.checks_of_cell import ClockCheck, wall_clock_is_synchronised
from robot_rl.session.checks_of_run import DiskCheck, PolicyCheck
from robot_rl.session.config import SessionConfig
from robot_rl.session.eyes import Eyes
from robot_rl.session.preflight import Preflight
from robot_rl.session.view import CameraView
from robot_rl_sim.bench import SimBenchConfig
from robot_rl_sim.tasks.peg_insert import PegInsertConfig

CELL = load(Path(__file__).resolve().parents[2] / "configs/cells/sim_fr3.yaml", CellConfig)
LIMITS = CELL.limits
WRIST = "observation.images.wrist"
ACTION = ActionSpec(kind="tcp_delta", names=("dx",), scale=(0.01,), period_s=0.1)
OBSERVATION = ObservationSpec(
    vectors={WRENCH: VectorSpec(names=("fx", "fy", "fz", "tx", "ty", "tz"), unit="N, N m")},
    images={WRIST: ImageSpec(height=8, width=8)},
)
TASK = TaskSpec(name="task", horizon=100, observation=OBSERVATION, action=ACTION)
RECORDING = RecordingSpec(robot="arm", task=TASK)


@dataclass
class Arm:
    """Tells a wrench at a rate, until it fails."""

    clock: ManualClock
    wrench: np.ndarray = field(default_factory=lambda: np.zeros(6, np.float32))
    rate_hz: float = 100.0
    failure: str = ""
    spec = RobotSpec(name="arm", observation=OBSERVATION, action=ACTION)

    def read(self):
        if self.failure:
            raise HardwareError(self.failure)
        period_ns = round(NS_PER_S / self.rate_hz)
        stamp_ns = self.clock.now_ns() // period_ns * period_ns
        return Observation(stamp_ns=stamp_ns, vectors={WRENCH: self.wrench})


@dataclass
class Lens:
    """A camera, by its own rate and from some time on."""

    clock: ManualClock
    rate_hz: float = 30.0
    from_s: float = 0.0
    name: str = "wrist"
    serial: str = ""
    failure: str = ""
    last: Observation | None = None

    def latest(self):
        if self.failure:
            raise HardwareError(self.failure)
        now_ns = self.clock.now_ns()
        if now_ns < self.from_s * NS_PER_S:
            return None
        period_ns = round(NS_PER_S / self.rate_hz)
        stamp_ns = now_ns // period_ns * period_ns
        if self.last is None or stamp_ns != self.last.stamp_ns:
            image = np.full((8, 8, 3), stamp_ns // period_ns % 256, np.uint8)
            self.last = Observation(stamp_ns=stamp_ns, vectors={}, images={WRIST: image})
        return self.last


@dataclass
class Gate:
    state: GateState = GateState.RUN
    cause: str = ""
    limits: object = LIMITS
    stops: list = field(default_factory=list)

    def estop(self, cause):
        self.stops.append(cause)


@dataclass
class Device:
    """Says one thing after the other, and the last one for good."""

    said: list
    name: str = "spacemouse"

    def reset(self, seed):
        pass

    def poll(self, observation):
        said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
        if isinstance(said, Exception):
            raise said
        return said() if callable(said) else said


@dataclass
class Model:
    """A reward model."""

    answer: object = field(default_factory=lambda: Judgement(reward=0.0, outcome=Outcome.UNKNOWN))
    name: str = "Classifier"
    observation = OBSERVATION
    probability: float = 0.0
    resets: int = 0

    def reset(self):
        self.resets += 1

    def score(self, observation):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def at_rest(**more):
    return OperatorInput(active=False, action=np.zeros(1, np.float32), **more)


def moving():
    return OperatorInput(active=True, action=np.ones(1, np.float32))


class Bench:
    def __init__(self, clock, arm, lens):
        self.clock, self.task, self.robot = clock, TASK, arm
        self.sensors = (lens,)
        self.scene = None

    def render(self, width, height):
        raise AssertionError("only started eyes draw")

    def close(self):
        pass


class Drawing:
    """Eyes whose own picture comes at a rate; the policy's are seen by real ones."""

    def __init__(self, bench, rate_hz):
        self.eyes = Eyes(bench, SessionConfig(operator="Ada"), lambda frame: None)
        self.drawn_name = self.eyes.drawn_name
        self.rate_hz = rate_hz

    def observed(self, observation):
        self.eyes.observed(observation)

    def views(self):
        own = self.eyes.views()[1:]
        if self.rate_hz is None:
            return own
        front = CameraView(
            name="front", width=640, height=480, rate_hz=self.rate_hz, age_s=0.0, frozen=False
        )
        return (front, *own)


class Station:
    """Everything as it should be; a test spoils one thing and looks at its check."""

    def __init__(self, tmp_path):
        self.clock = ManualClock(1000 * NS_PER_S)
        self.arm, self.lens, self.gate = Arm(self.clock), Lens(self.clock), Gate()
        self.bench = Bench(self.clock, self.arm, self.lens)
        self.drawn_hz = 20.0
        self.store = tmp_path / "run" / "online"
        self.more = {}

    def preflight(self):
        checks = checks_of(
            self.bench,
            SessionConfig(operator="Ada"),
            eyes=Drawing(self.bench, self.drawn_hz),
            gate=self.gate,
            limits=LIMITS,
            store=self.store,
            recording=RECORDING,
            machine=self.clock,
            **self.more,
        )
        return Preflight(checks, [])

    def found(self, name):
        preflight = self.preflight()
        preflight.run()
        views = {view.name: view for view in preflight.views()}
        others = [v for v in views.values() if v.name != name and v.state != "good"]
        return views[name], others


@pytest.fixture
def station(tmp_path):
    return Station(tmp_path)


def spoilt(station, name, words):
    """The check is bad, in these words and with a remedy; no other one is."""
    view, others = station.found(name)
    assert view.state == "bad"
    assert words in view.words
    assert view.remedy
    assert others == []
    return view


def test_a_station_that_is_as_it_should_be_is_good_and_says_in_which_numbers(station):
    device = Device([at_rest()])
    station.more = {
        "reward": Model(),
        "learner": lambda: "",
        "devices": [device, Device([at_rest()])],
    }
    station.lens.serial = "0815"
    preflight = station.preflight()
    preflight.run()
    assert preflight.good
    words = {view.name: view.words for view in preflight.views()}
    assert words["clock"].startswith("the bench runs by the machine's clock; ")
    assert words["safety gate"] == (
        "RUN; at most 0.25 m/s and 1.5 rad/s, contact up to 30 N and 8 N m"
    )
    assert words["observation"].startswith("1 vector, 1 image; the oldest, wrist, ")
    assert words["force-torque"] == "0.00 N, 0.000 N m at 100 Hz"
    assert words["cameras"] == "front 20 Hz, wrist 30 Hz; wrist is 0815"
    assert words["disk"].startswith("room for ")
    assert words["device spacemouse"] == words["device spacemouse-2"] == "open and at rest"
    assert words["reward"] == "Classifier judges within 0 ms: unknown"
    assert words["learner"] == "alive"


def test_a_bench_by_another_clock_is_no_bench_for_a_person(station):
    def check(bench):
        return ClockCheck(bench=bench, machine=station.clock, is_synchronised=lambda: False).run()

    behind = check(ManualClock())
    assert not behind.good
    assert "1e+03 s apart" in behind.words
    assert "real_time: true" in behind.remedy
    # It stands still, but for that it is right.
    assert not check(ManualClock(station.clock.now_ns())).good
    good = check(station.clock)
    assert good.good
    assert "nobody synchronises the wall clock" in good.words


def test_the_kernel_says_whether_somebody_sets_the_wall_clock():
    before = time.time()
    assert wall_clock_is_synchronised() in (True, False, None)
    assert abs(time.time() - before) < 5


def test_the_machines_own_clock_is_found_to_be_that():
    clock = MonotonicClock()
    check = ClockCheck(bench=clock, machine=clock, is_synchronised=lambda: None)
    assert check.run().good


def test_a_latched_gate_and_other_limits_are_told(station):
    station.gate = Gate(GateState.STOP, "contact of 61.0 N")
    view = spoilt(station, "safety gate", "STOP: contact of 61.0 N")
    assert "clear" in view.remedy
    station.gate = Gate(limits=LIMITS.model_copy(update={"max_force_n": 40.0}))
    spoilt(station, "safety gate", "max_force_n is 40.0, expected 30.0")
    station.gate = Gate(GateState.HOLD)
    assert station.found("safety gate")[0].state == "good"


def test_a_stream_that_is_old_absent_or_not_finite_is_told(station):
    station.bench.sensors = ()
    view, _ = station.found("observation")
    assert view.state == "bad"
    assert f"no stream delivers {WRIST}" in view.words
    station.bench.sensors = (station.lens,)
    station.lens.rate_hz, station.more = 0.1, {"camera_rates_hz": {"wrist": 0.0}}
    spoilt(station, "observation", "wrist is ")
    station.lens.rate_hz, station.arm.wrench = 30.0, np.full(6, np.nan, np.float32)
    view, others = station.found("observation")
    assert "not finite" in view.words
    assert [other.name for other in others] == ["force-torque"]


def test_a_device_that_fails_is_told_in_its_own_words_wherever_it_is_needed(station):
    station.arm.failure = "the arm's network cable is out"
    view, others = station.found("observation")
    assert view.words == "the arm's network cable is out"
    assert [other.name for other in others] == ["force-torque"]
    station.arm.failure, station.lens.failure = "", "wrist: silent for 1.2 s"
    view, others = station.found("cameras")
    assert view.words == "wrist: silent for 1.2 s"
    assert [other.name for other in others] == ["observation"]


def test_a_camera_that_begins_late_is_waited_for(station):
    station.lens.from_s = 1001.0
    view, others = station.found("cameras")
    assert view.state == "good"
    assert others == []


@pytest.mark.parametrize(("rate_hz", "state"), [(25.0, "good"), (23.0, "bad")])
def test_cameras_need_most_of_their_rate(station, rate_hz, state):
    station.lens.rate_hz, station.more = rate_hz, {"camera_rates_hz": {"wrist": 30.0}}
    view, _ = station.found("cameras")
    assert view.state == state


def test_a_slow_or_absent_picture_of_the_bench_is_told_and_none_is_no_fault(station):
    station.drawn_hz = 9.0
    spoilt(station, "cameras", "front: 9.0 pictures a second, expected 20")
    station.drawn_hz = None
    assert station.found("cameras")[0].words == "wrist 30 Hz"


def test_a_wrench_at_rest_is_near_zero_and_fast_enough(station):
    station.arm.wrench = np.array([0, 0, 4.0, 0, 0, 0], np.float32)
    view = spoilt(station, "force-torque", "4.00 N, 0.000 N m")
    assert "up to 3 N and 0.3 N m" in view.words
    assert "tare" in view.remedy
    station.arm.wrench = np.array([0, 0, 0, 0, 0.4, 0], np.float32)
    spoilt(station, "force-torque", "0.400 N m")
    station.arm.wrench = np.zeros(6, np.float32)
    station.more = {"wrench_rate_hz": 150.0}
    spoilt(station, "force-torque", "100 samples a second, expected 150")


def test_a_wrench_that_has_been_near_zero_may_tell_of_contact_later(station):
    preflight = station.preflight()
    preflight.run()
    station.arm.wrench = np.array([0, 0, 12.0, 0, 0, 0], np.float32)
    preflight.run()
    assert preflight.good
    words = {view.name: view.words for view in preflight.views()}
    assert "touches something" in words["force-torque"]


def test_a_task_without_wrench_is_not_asked_for_one(station):
    observation = ObservationSpec(vectors={}, images=OBSERVATION.images)
    station.bench.task = TaskSpec(name="task", horizon=100, observation=observation, action=ACTION)
    assert "force-torque" not in {view.name for view in station.preflight().views()}


class SmallDisk(Disk):
    def __init__(self, free):
        self.free = free

    def free_bytes(self, path):
        assert path.is_dir()
        return self.free


@pytest.mark.parametrize(("episodes", "good"), [(21, True), (20.9, False), (0, False)])
def test_the_disk_must_hold_twenty_episodes_and_the_log_of_one(tmp_path, episodes, good):
    disk = SmallDisk(int(episodes * expected_bytes(RECORDING)))
    check = DiskCheck(store=tmp_path / "not" / "yet", recording=RECORDING, disk=disk)
    finding = check.run()
    assert finding.good == good
    assert f"room for {max(0, int(episodes) - 1)} episodes" in finding.words
    assert good or "robot-rl data purge" in finding.remedy
    assert list(tmp_path.iterdir()) == []


def test_a_policy_that_plans_too_slowly_is_told_but_its_first_plan_may_be():
    took = iter([3.0, 0.05])
    assert PolicyCheck(plan=lambda: next(took), within_s=0.1).run().good
    found = PolicyCheck(plan=lambda: 0.15, within_s=0.1).run()
    assert not found.good
    assert "150.0 ms, at most 100 ms" in found.words
    assert "plan with fewer calls" in found.remedy


def test_a_reward_model_judges_the_present_and_remembers_nothing_of_it(station):
    model = Model()
    station.more = {"reward": model}
    assert station.found("reward")[0].state == "good"
    assert model.resets == 2
    station.more = {"reward": Model(ContractError("no such vector"))}
    spoilt(station, "reward", "no such vector")
    nan = Judgement(reward=float("nan"), outcome=Outcome.UNKNOWN)
    station.more = {"reward": Model(nan)}
    spoilt(station, "reward", "judges the present with nan")


def test_a_lost_learner_is_told_in_its_words(station):
    station.more = {"learner": lambda: "killed by signal 9"}
    spoilt(station, "learner", "killed by signal 9")


def test_a_check_that_raises_is_told_and_the_others_are_run(station):
    def loss():
        raise RuntimeError("out of memory")

    station.more = {"learner": loss, "reward": Model()}
    spoilt(station, "learner", "RuntimeError: out of memory")


def test_a_device_is_waited_for_until_it_is_heard_at_rest(station):
    device = Device([HardwareError("opening"), moving(), moving(), at_rest()])
    station.more = {"devices": [device]}
    assert station.found("device spacemouse")[0].state == "good"


def test_a_device_that_is_heard_again_and_again_is_told_so(station):
    device = Device([lambda: at_rest(heard_ns=station.clock.now_ns())])
    station.more = {"devices": [device]}
    assert station.found("device spacemouse")[0].words == "heard and at rest"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (HardwareError("no SpaceMouse is plugged in"), "no SpaceMouse is plugged in"),
        (moving(), "it moves"),
        (at_rest(heard_ns=0), "s ago, at most"),
        (
            OperatorInput(active=False, action=np.zeros(7, np.float32)),
            "it drives 7 elements, the task's action has 1: dx",
        ),
    ],
)
def test_a_device_that_is_absent_moves_is_silent_or_drives_something_else_is_told(
    station, said, words
):
    station.more = {"devices": [Device([said])]}
    spoilt(station, "device spacemouse", words)


def test_a_stop_that_is_pressed_while_a_device_is_checked_counts(station):
    pressed = at_rest(events=(OperatorEvent.STOP,))
    station.more = {"devices": [Device([pressed, at_rest()])]}
    station.found("device spacemouse")
    assert len(station.gate.stops) == 1
    assert "spacemouse" in station.gate.stops[0]


@pytest.mark.sim
@pytest.mark.render
def test_a_simulated_bench_in_real_time_is_fit_for_a_person_and_seen(tmp_path):
    bench = SimBenchConfig(real_time=True).build(PegInsertConfig())
    config, frames = SessionConfig(operator="Ada"), []
    gate = SafetyGate(LIMITS, bench.task.action, bench.clock, None)
    eyes = Eyes(bench, config, frames.append)
    eyes.start()
    try:
        checks = checks_of(
            bench,
            config,
            eyes=eyes,
            gate=gate,
            limits=LIMITS,
            store=tmp_path,
            recording=RecordingSpec(robot="fr3", task=bench.task),
        )
        preflight = Preflight(checks, [])
        preflight.run()
        views = {view.name: view for view in preflight.views()}
        # A busy machine may draw fewer pictures; all else is exact.
        slow = views.pop("cameras")
        assert {view.state for view in views.values()} == {"good"}, views
        assert slow.state == "good" or "pictures a second" in slow.words
        if not eyes.views():
            pytest.skip("no OpenGL")
        assert (frames[0].width, frames[0].height) == (640, 480)
        assert len(set(frames[0].rgb)) > 10
    finally:
        eyes.close()
        bench.close()
