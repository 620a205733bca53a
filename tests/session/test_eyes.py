import logging
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
from robot_rl.session.checks_of_streams import CamerasCheck
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


class Camera:
    """A camera that may be watched: it sees what the test gives it to see, or fails."""

    def __init__(self, name="wrist"):
        self.name = name
        self.sees = lambda: None
        self.asked = 0

    def latest(self):
        self.asked += 1
        return self.sees()

    def see(self, at_s, image):
        sample = Observation(
            stamp_ns=round(at_s * NS_PER_S),
            vectors={},
            images={f"observation.images.{self.name}": image},
        )
        self.sees = lambda: sample

    def fail(self, error):
        def fails():
            raise error

        self.sees = fails


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

    def make(bench, start=True, watched=(), **settings):
        rate = {"camera_rate_hz": 50.0, "camera_width": 64, "camera_height": 64}
        config = SessionConfig(operator="Ada", **(rate | settings))
        eyes = Eyes(bench, config, shown, watched)
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
    assert [r.levelname for r in caplog.records if r.levelno > logging.INFO] == ["ERROR"]


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


@pytest.mark.parametrize(("names", "drawn"), [("front scene", "scene 2"), ("scene", "front")])
def test_the_benchs_picture_has_a_name_that_no_camera_has(make_eyes, names, drawn):
    cameras = [Camera(name) for name in names.split()]
    assert make_eyes(Bench(), start=False, watched=cameras).drawn_name == drawn


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
    camera = Camera("roof")
    eyes = make_eyes(Bench(lambda *size: picture(), ["wrist"]), watched=[camera])
    shown.wait(2)
    until(lambda: camera.asked)
    eyes.close()
    camera.see(1, picture(1))
    assert threading.active_count() == before
    count = len(shown.frames)
    eyes.observed(observation(1, picture(1)))
    assert len(shown.frames) == count
    make_eyes(Bench(), start=False).close()


def test_a_watched_camera_is_seen_as_large_as_it_sees_though_nothing_is_observed(make_eyes, shown):
    clock, camera = ManualClock(5 * NS_PER_S), Camera()
    eyes = make_eyes(Bench(cameras=["wrist"], clock=clock), watched=[camera])
    for k, at_s in enumerate((4.5, 4.6, 4.7), start=1):
        camera.see(at_s, picture(k, width=640, height=480))
        frame = shown.wait(k)[-1]
        assert (frame.camera, frame.number, frame.width, frame.height) == ("wrist", k, 640, 480)
        assert (frame.stamp_ns, frame.reference) == (round(at_s * NS_PER_S), False)
        assert frame.rgb == picture(k, width=640, height=480).tobytes()
    view = eyes.views()[-1]
    assert (view.width, view.height, view.words, view.frozen) == (640, 480, "", False)
    assert view.rate_hz == pytest.approx(10)
    assert view.age_s == pytest.approx(0.3)


def test_what_is_observed_of_a_watched_camera_is_not_shown(make_eyes, shown):
    camera = Camera("front")
    eyes = make_eyes(Bench(cameras=["front", "wrist"]), watched=[camera])
    small = {"observation.images.front": picture(1), WRIST: picture(2)}
    eyes.observed(Observation(stamp_ns=10 * NS_PER_S, vectors={}, images=small))
    assert shown.wait(1)[0].camera == "wrist"
    camera.see(9.0, picture(3, width=640, height=480))
    # Had the observed one been taken, this one would be older.
    front = shown.wait(2)[1]
    assert (front.camera, front.width) == ("front", 640)


def test_each_camera_is_in_the_views_once_those_of_the_task_first(make_eyes, shown):
    cameras = [Camera(name) for name in ("hall", "wrist", "roof")]
    bench = Bench(lambda *size: picture(), ["left", "wrist", "right"])
    views = make_eyes(bench, watched=cameras).views()
    assert [view.name for view in views] == ["front", "left", "wrist", "right", "hall", "roof"]
    # How large a watched camera sees is not known yet.
    assert [view.width for view in views] == [64, 64, 0, 64, 0, 0]
    assert [view.age_s for view in views[1:]] == [None] * 5


def test_a_watched_camera_that_fails_is_told_asked_again_and_the_others_go_on(
    make_eyes, shown, monkeypatch, caplog
):
    monkeypatch.setattr("robot_rl.session.eyes._AGAIN_S", 0.02)
    lost, well = Camera("lost"), Camera("well")
    lost.fail(HardwareError("the cable is out"))
    well.sees = lambda: Observation(
        stamp_ns=time.monotonic_ns(),
        vectors={},
        images={"observation.images.well": picture(well.asked)},
    )
    eyes = make_eyes(Bench(), watched=[lost, well])
    shown.wait(5)
    until(lambda: lost.asked >= 3)
    assert lost.asked < well.asked
    views = {view.name: view for view in eyes.views()}
    assert views["lost"].frozen
    assert views["lost"].words == "no picture: HardwareError: the cable is out"
    assert (views["well"].frozen, views["well"].words) == (False, "")
    lost.see(1.0, picture(1))
    until(lambda: not eyes.views()[-2].frozen)
    assert [r.levelname for r in caplog.records if r.levelno > logging.INFO] == ["ERROR"]


def test_a_watched_camera_that_shows_another_ones_pictures_is_told(make_eyes, shown):
    camera = Camera("wrist")
    camera.see(1.0, picture(1))
    camera.name = "roof"
    eyes = make_eyes(Bench(), watched=[camera])
    until(lambda: eyes.views()[-1].frozen)
    assert f"it gives ['{WRIST}'], expected observation.images.roof" in eyes.views()[-1].words
    assert shown.frames == []


def test_a_camera_that_is_watched_twice_is_refused(make_eyes):
    with pytest.raises(ConfigError, match=r"\['wrist', 'wrist'\], expected each once"):
        make_eyes(Bench(), watched=[Camera(), Camera()])


def test_a_watched_camera_is_frozen_once_the_arm_has_moved(make_eyes, shown):
    camera = Camera()
    eyes = make_eyes(Bench(cameras=["wrist"]), watched=[camera])
    for k in range(1, 10):
        eyes.observed(observation(10 + 0.3 * k, picture(k), x=0.002 * k))
        camera.see(10 + 0.3 * k, picture(7))
        shown.wait(k)
    assert "while the arm has moved" in eyes.views()[-1].words


def test_what_the_arm_did_between_episodes_freezes_no_picture(make_eyes, shown):
    camera = Camera()
    eyes = make_eyes(Bench(), watched=[camera])

    def look(at_s, value, count):
        camera.see(at_s, picture(value))
        shown.wait(count)

    eyes.observed(observation(10.0, x=0.0))
    look(10.0, 1, 1)
    # The arm goes to its start, which no observation tells, and rests there.
    look(12.0, 2, 2)
    look(20.0, 2, 3)
    eyes.observed(observation(20.1, x=0.3))
    look(20.2, 2, 4)
    assert not eyes.views()[-1].frozen
    eyes.observed(observation(20.9, x=0.31))
    look(21.3, 2, 5)
    assert "the same picture for 1.1 s while the arm has moved" in eyes.views()[-1].words


def test_the_reference_of_a_watched_camera_is_shown_once_its_size_is_known_to_agree(
    make_eyes, shown, tmp_path
):
    camera, image = Camera(), picture(9, width=32, height=24)
    file = save(tmp_path, "wrist.png", image)
    eyes = make_eyes(Bench(cameras=["wrist"]), watched=[camera], reference={"wrist": file})
    eyes.show_references()
    camera.see(1.0, picture(1, width=32, height=24))
    live, reference = shown.wait(2)
    assert (live.reference, reference.reference) == (False, True)
    assert (reference.camera, reference.rgb) == ("wrist", image.tobytes())
    camera.see(2.0, picture(2, width=32, height=24))
    eyes.show_references()
    frames = shown.wait(4)
    assert sorted(frame.number for frame in frames if frame.reference) == [1, 2]
    assert eyes.views()[-1].words == ""


def test_a_reference_that_a_watched_camera_has_outgrown_is_told_and_not_shown(
    make_eyes, shown, tmp_path
):
    camera = Camera()
    # As large as the task's pictures, which are not those that are shown.
    file = save(tmp_path, "wrist.png", picture(9))
    eyes = make_eyes(Bench(cameras=["wrist"]), watched=[camera], reference={"wrist": file})
    camera.see(1.0, picture(1, width=640, height=480))
    until(lambda: f"{file} is 64 x 64, expected 640 x 480" in eyes.views()[-1].words)
    camera.see(2.0, picture(2, width=640, height=480))
    eyes.show_references()
    assert not any(frame.reference for frame in shown.wait(2))
    # The camera is set to another size.
    camera.see(3.0, picture(3))
    assert shown.wait(4)[3].reference
    assert eyes.views()[-1].words == ""


def test_a_reference_of_a_camera_that_is_not_watched_either_is_refused(make_eyes, tmp_path):
    file = save(tmp_path, "roof.png", picture())
    with pytest.raises(ConfigError, match="no camera 'roof'"):
        make_eyes(Bench(cameras=["wrist"]), watched=[Camera("hall")], reference={"roof": file})


def cameras_check(eyes, sensors=()):
    return CamerasCheck(
        eyes=eyes, sensors=sensors, machine=MonotonicClock(), rates_hz={}, rate_hz=10.0
    )


def test_the_check_of_cameras_finds_a_watched_one_good_that_delivers_by_itself(make_eyes):
    camera, small = Camera(), Camera()
    camera.sees = lambda: Observation(
        stamp_ns=time.monotonic_ns(),
        vectors={},
        images={WRIST: picture(camera.asked, width=640, height=480)},
    )
    small.see(time.monotonic() + 60.0, picture(1))
    eyes = make_eyes(Bench(cameras=["wrist"]), watched=[camera])
    # The bench's own sensor gives the policy's pictures of it, which are not looked at.
    finding = cameras_check(eyes, [small]).run()
    assert finding.good, finding.words
    assert finding.words.startswith("wrist ")
    assert small.asked
    assert eyes.views()[-1].width == 640


@pytest.mark.parametrize(
    ("error", "words"),
    [(None, "wrist: no picture within"), (HardwareError("cable"), "HardwareError: cable")],
)
def test_the_check_of_cameras_tells_a_watched_one_that_is_silent_or_fails(
    make_eyes, monkeypatch, error, words
):
    monkeypatch.setattr("robot_rl.session.checks_of_streams._WITHIN_S", 0.5)
    camera = Camera()
    if error:
        camera.fail(error)
    finding = cameras_check(make_eyes(Bench(), watched=[camera])).run()
    assert not finding.good
    assert words in finding.words
