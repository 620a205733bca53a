import threading
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from robot_rl.core.clock import NS_PER_S, ManualClock, MonotonicClock
from robot_rl.core.errors import ConfigError, DependencyError, HardwareError
from robot_rl.core.spec import (
    TCP_POSE,
    ActionSpec,
    ImageSpec,
    ObservationSpec,
    TaskSpec,
    VectorSpec,
)
from robot_rl.core.types import Observation
from robot_rl.session.config import SessionConfig
from robot_rl.session.eyes import Eyes

WAIT_S = 20.0
WRIST = "observation.images.wrist"


def picture(value=0, width=64, height=64):
    return np.full((height, width, 3), value % 256, np.uint8)


def absent(width, height):
    raise DependencyError("no OpenGL here")


class Bench:
    """A bench that draws by a function, with a camera `wrist` if wanted."""

    def __init__(self, draw: Callable = absent, cameras=(), clock=None):
        images = {f"observation.images.{name}": ImageSpec(height=64, width=64) for name in cameras}
        pose = VectorSpec(names=("x", "y", "z", "qx", "qy", "qz", "qw"), unit="m")
        self.clock = clock or MonotonicClock()
        self.task = TaskSpec(
            name="task",
            horizon=10,
            observation=ObservationSpec(vectors={TCP_POSE: pose}, images=images),
            action=ActionSpec(kind="tcp_delta", names=("dx",), scale=(0.01,), period_s=0.1),
        )
        self.render = draw


class Shown:
    """Keeps the frames; whoever tests waits for them."""

    def __init__(self):
        self.frames = []
        self._changed = threading.Condition()

    def __call__(self, frame):
        with self._changed:
            self.frames.append(frame)
            self._changed.notify_all()

    def wait(self, count):
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.frames) >= count, WAIT_S)
            return list(self.frames)


def until(what):
    deadline_s = time.monotonic() + WAIT_S
    while not what():
        assert time.monotonic() < deadline_s
        time.sleep(0.005)


@pytest.fixture
def shown():
    return Shown()


@pytest.fixture
def make_eyes(shown):
    made = []

    def make(bench, start=True, **settings):
        rate = {"camera_rate_hz": 50.0, "camera_width": 64, "camera_height": 64}
        config = SessionConfig(operator="Ada", **(rate | settings))
        eyes = Eyes(bench, config, shown)
        made.append(eyes)
        if start:
            eyes.start()
        return eyes

    yield make
    for eyes in made:
        eyes.close()


def observation(at_s, image=None, x=0.0, **ages_s):
    pose = np.array([x, 0, 0, 0, 0, 0, 1], np.float32)
    return Observation(
        stamp_ns=round(at_s * NS_PER_S),
        vectors={TCP_POSE: pose},
        images={} if image is None else {WRIST: image},
        ages_s=ages_s,
    )


def test_a_bench_that_draws_is_seen_at_the_rate_with_growing_numbers_and_stamps(make_eyes, shown):
    drawn = iter(range(10_000))
    eyes = make_eyes(Bench(lambda width, height: picture(next(drawn), width, height)))
    before_ns = time.monotonic_ns()
    frames = shown.wait(10)
    assert {(f.camera, f.width, f.height, f.reference) for f in frames} == {
        ("front", 64, 64, False)
    }
    assert [f.number for f in frames] == list(range(1, len(frames) + 1))
    stamps = [f.stamp_ns for f in frames]
    assert stamps == sorted(set(stamps))
    assert abs(stamps[0] - before_ns) < WAIT_S * NS_PER_S
    assert frames[3].rgb == picture(3).tobytes()
    (view,) = eyes.views()
    assert 0 < view.rate_hz < 55
    assert view.age_s < WAIT_S
    assert not view.frozen
    assert view.words == ""


def test_a_bench_that_cannot_draw_has_no_such_camera(make_eyes, shown):
    eyes = make_eyes(Bench(cameras=["wrist"]))
    until(lambda: [view.name for view in eyes.views()] == ["wrist"])
    assert shown.frames == []


def test_where_the_policy_has_a_front_camera_the_bench_has_another_name(make_eyes, shown):
    eyes = make_eyes(Bench(lambda *size: picture(), ["front", "wrist"]))
    assert shown.wait(1)[0].camera == "scene" == eyes.drawn_name
    assert [view.name for view in eyes.views()] == ["scene", "front", "wrist"]


def test_a_camera_that_fails_is_told_logged_once_and_comes_back(
    make_eyes, shown, monkeypatch, caplog
):
    monkeypatch.setattr("robot_rl.session.eyes._AGAIN_S", 0.01)
    calls = iter(range(10_000))

    def draw(width, height):
        if 2 <= (call := next(calls)) < 6:
            raise HardwareError("the cable is out")
        return picture(call)

    eyes = make_eyes(Bench(draw))
    until(lambda: eyes.views()[0].frozen)
    assert eyes.views()[0].words == "no picture: HardwareError: the cable is out"
    assert len(shown.wait(4)) >= 4
    until(lambda: not eyes.views()[0].frozen)
    assert [r.levelname for r in caplog.records] == ["ERROR"]


def test_a_show_that_fails_ends_neither_thread(make_eyes):
    tried = []

    def refuse(frame):
        tried.append(frame.camera)
        raise RuntimeError("nobody looks")

    bench = Bench(lambda *size: picture(), ["wrist"])
    eyes = Eyes(bench, SessionConfig(operator="Ada", camera_rate_hz=50.0), refuse)
    eyes.start()
    eyes.observed(observation(1, picture(1)))
    until(lambda: {"front", "wrist"} <= set(tried))
    until(lambda: all("nobody looks" in view.words for view in eyes.views()))
    eyes.observed(observation(2, picture(2)))
    until(lambda: tried.count("wrist") == 2)
    eyes.close()


def test_what_is_no_picture_is_told_and_not_shown(make_eyes, shown):
    eyes = make_eyes(Bench(cameras=["wrist"]))
    eyes.observed(observation(1, np.zeros((64, 64), np.uint8)))
    until(lambda: "expected uint8[height, width, 3]" in eyes.views()[-1].words)
    assert shown.frames == []


def test_the_policys_pictures_are_stamped_when_they_were_taken(make_eyes, shown):
    clock = ManualClock(5 * NS_PER_S)
    eyes = make_eyes(Bench(cameras=["wrist"], clock=clock))
    eyes.observed(observation(5.0, picture(1), wrist=0.03, arm=0.08))
    (frame,) = shown.wait(1)
    assert (frame.camera, frame.stamp_ns) == ("wrist", 4_970_000_000)
    clock.advance_s(0.5)
    assert eyes.views()[-1].age_s == pytest.approx(0.53)


def test_rate_is_that_of_the_pictures_though_fewer_are_shown(make_eyes, shown):
    clock = ManualClock()
    eyes = make_eyes(Bench(cameras=["wrist"], clock=clock), camera_rate_hz=5.0)
    for k in range(101):
        at_s = 1 + k / 100
        clock.sleep_until_ns(round(at_s * NS_PER_S))
        eyes.observed(observation(at_s, picture(k)))
        if k % 20 == 0:
            shown.wait(k // 20)
    assert eyes.views()[-1].rate_hz == pytest.approx(100)
    assert len(shown.wait(5)) <= 8
    clock.advance_s(3)
    assert eyes.views()[-1].rate_hz == 0


def test_a_picture_that_is_handed_over_twice_is_one(make_eyes, shown):
    clock = ManualClock(NS_PER_S)
    eyes = make_eyes(Bench(cameras=["wrist"], clock=clock))
    image = picture(1)
    eyes.observed(observation(1.0, image, wrist=0.0))
    eyes.observed(observation(1.1, image, wrist=0.1))
    eyes.observed(observation(1.2, picture(2), wrist=0.0))
    assert shown.wait(1)
    until(lambda: shown.frames[-1].stamp_ns == 1_200_000_000)
    assert eyes.views()[-1].rate_hz == pytest.approx(5)


def see(eyes, shown, pictures):
    """Hand one picture after the other over, 0.3 s apart: (grey, x of the arm)."""
    for k, (value, x) in enumerate(pictures, start=1):
        eyes.observed(observation(10 + 0.3 * k, picture(value), x))
        shown.wait(k)
    return eyes.views()[-1]


def test_pictures_that_repeat_themselves_are_frozen_once_the_arm_has_moved(make_eyes, shown):
    eyes = make_eyes(Bench(cameras=["wrist"]))
    view = see(eyes, shown, [(7, 0.002 * k) for k in range(10)])
    assert view.frozen
    assert "while the arm has moved" in view.words
    eyes.observed(observation(20, picture(8)))
    shown.wait(11)
    assert not eyes.views()[-1].frozen


def test_while_the_arm_rests_pictures_may_repeat_themselves_unless_told_otherwise(
    make_eyes, shown
):
    eyes = make_eyes(Bench(cameras=["wrist"]))
    assert not see(eyes, shown, [(7, 0.0)] * 10).frozen


def test_a_camera_with_noise_is_frozen_though_the_arm_rests(make_eyes, shown):
    eyes = make_eyes(Bench(cameras=["wrist"]), camera_still_s=1.0)
    view = see(eyes, shown, [(7, 0.0)] * 6)
    assert view.frozen
    assert view.words == "the same picture for 1.5 s"


def save(folder, name, image):
    Image.fromarray(image).save(folder / name)
    return folder / name


def test_reference_pictures_are_shown_first_and_again_when_asked(make_eyes, shown, tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    eyes = make_eyes(
        Bench(cameras=["wrist"]), reference={"wrist": save(tmp_path, "wrist.png", image)}
    )
    eyes.show_references()
    first, again = shown.wait(2)
    assert first.reference
    assert (first.camera, first.width, first.height) == ("wrist", 64, 64)
    assert first.rgb == again.rgb == image.tobytes()
    assert again.number > first.number


def test_a_reference_picture_of_another_size_is_told_and_not_shown(make_eyes, shown, tmp_path):
    file = save(tmp_path, "front.png", picture(1, width=32, height=24))
    eyes = make_eyes(Bench(lambda *size: picture()), reference={"front": file})
    assert not any(frame.reference for frame in shown.wait(2))
    (view,) = eyes.views()
    assert f"{file} is 32 x 24, expected 64 x 64" in view.words
    assert not view.frozen


def test_a_reference_picture_that_is_none_or_of_no_camera_is_refused(make_eyes, tmp_path):
    file = tmp_path / "wrist.png"
    file.write_bytes(b"not a picture")
    bench = Bench(cameras=["wrist"])
    with pytest.raises(ConfigError, match="cannot be read as a picture"):
        make_eyes(bench, reference={"wrist": file})
    with pytest.raises(ConfigError, match="no camera 'wirst'; did you mean 'wrist'"):
        make_eyes(bench, reference={"wirst": file})
    with pytest.raises(ConfigError, match="cannot be read"):
        make_eyes(bench, reference={"wrist": tmp_path / "absent.png"})


def test_the_loop_does_not_wait_for_whoever_shows_the_pictures():
    goes_on, shows = threading.Event(), threading.Event()

    def slow(frame):
        shows.set()
        assert goes_on.wait(WAIT_S)

    eyes = Eyes(Bench(cameras=["wrist"]), SessionConfig(operator="Ada"), slow)
    eyes.start()
    eyes.observed(observation(1, picture(1)))
    assert shows.wait(WAIT_S)
    for k in range(2, 50):
        eyes.observed(observation(k, picture(k)))
    assert eyes.views()[-1].width == 64
    goes_on.set()
    eyes.close()


def test_closed_eyes_see_nothing_more_and_leave_no_thread(make_eyes, shown):
    before = threading.active_count()
    eyes = make_eyes(Bench(lambda *size: picture(), ["wrist"]))
    shown.wait(2)
    eyes.close()
    assert threading.active_count() == before
    count = len(shown.frames)
    eyes.observed(observation(1, picture(1)))
    assert len(shown.frames) == count
    make_eyes(Bench(), start=False).close()
