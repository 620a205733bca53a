"""Pictures of a bench, asked for by whatever thread while physics goes on."""

import gc
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from robot_rl.core.errors import DependencyError, HardwareError
from robot_rl_sim import painter as painter_module
from robot_rl_sim.bench import SimBenchConfig
from robot_rl_sim.camera import Camera
from robot_rl_sim.tasks.peg_insert import PegInsertConfig

pytestmark = pytest.mark.sim

WAIT_S = 30.0


class Easel:
    """Stands in for a camera: notes who uses it, and draws when it is let."""

    made: "list[Easel]"
    may_draw: threading.Event
    draws: threading.Event

    def __init__(self, model, width, height, *, quality):
        self.size, self.quality = (width, height), quality
        self.threads = [threading.current_thread()]
        self.closed = False
        self.made.append(self)

    def render(self, data, camera_name):
        self.threads.append(threading.current_thread())
        self.draws.set()
        assert self.may_draw.wait(WAIT_S)
        width, height = self.size
        return np.full((height, width, 3), round(100 * data.time), np.uint8)

    def close(self):
        self.threads.append(threading.current_thread())
        self.closed = True


@pytest.fixture
def easels(monkeypatch):
    monkeypatch.setattr(painter_module, "Camera", Easel)
    Easel.made, Easel.may_draw, Easel.draws = [], threading.Event(), threading.Event()
    Easel.may_draw.set()
    return Easel


@pytest.fixture
def make_bench():
    benches = []

    def make(*, real_time=False):
        bench = SimBenchConfig(real_time=real_time).build(PegInsertConfig())
        bench.scene.reset(0)
        benches.append(bench)
        return bench

    yield make
    for bench in benches:
        bench.close()


def test_whoever_asks_and_closes_one_thread_alone_makes_draws_and_closes(easels, make_bench):
    bench = make_bench()
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(bench.render, 16, 12) for _ in range(6)]
        assert {a.result(WAIT_S).shape for a in asked} == {(12, 16, 3)}
    bench.render(20, 10)
    bench.close()
    assert [e.size for e in easels.made] == [(16, 12), (20, 10)]
    assert all(e.closed for e in easels.made)
    (thread,) = {t for e in easels.made for t in e.threads}
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_physics_does_not_wait_for_a_picture_that_takes_long(easels, make_bench):
    bench = make_bench(real_time=True)
    easels.may_draw.clear()
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(bench.render, 16, 12)
        assert easels.draws.wait(WAIT_S)
        before = bench.backend.row(0)
        bench.clock.sleep_until_ns(bench.clock.now_ns() + 50_000_000)
        assert (bench.backend.row(0) != before).any()
        assert not asked.done()
        easels.may_draw.set()
        asked.result(WAIT_S)


def test_a_picture_shows_the_instant_it_was_asked_for(easels, make_bench):
    bench = make_bench()
    first = bench.render(8, 8)[0, 0, 0]
    bench.backend.step(50)
    assert bench.render(8, 8)[0, 0, 0] == first + 10


def test_pictures_for_people_who_drive_are_cheap_and_those_of_films_fine(easels, make_bench):
    for real_time in (True, False):
        make_bench(real_time=real_time).render(8, 8)
    assert [e.quality for e in easels.made] == ["fast", "fine"]


def test_a_closed_bench_draws_nothing_and_says_so(easels, make_bench):
    bench = make_bench()
    bench.close()
    bench.close()
    with pytest.raises(HardwareError, match="closed"):
        bench.render(8, 8)
    assert easels.made == []


def test_who_waits_for_a_picture_while_the_bench_is_closed_still_gets_it(easels, make_bench):
    bench = make_bench()
    easels.may_draw.clear()
    with ThreadPoolExecutor(2) as pool:
        asked = pool.submit(bench.render, 8, 8)
        assert easels.draws.wait(WAIT_S)
        closing = pool.submit(bench.close)
        easels.may_draw.set()
        closing.result(WAIT_S)
        assert asked.result(WAIT_S).shape == (8, 8, 3)


def test_a_bench_that_nobody_closed_leaves_no_thread(easels):
    bench = SimBenchConfig().build(PegInsertConfig())
    bench.render(8, 8)
    thread = easels.made[0].threads[0]
    del bench
    gc.collect()
    thread.join(WAIT_S)
    assert not thread.is_alive()


def test_where_there_is_no_opengl_everybody_who_asks_is_told(monkeypatch, make_bench):
    def absent(*of, **named):
        raise DependencyError("no OpenGL")

    monkeypatch.setattr(painter_module, "Camera", absent)
    bench = make_bench()
    for _ in range(2):
        with pytest.raises(DependencyError, match="no OpenGL"):
            bench.render(8, 8)


def test_a_stop_from_another_thread_is_not_lost_while_physics_is_stepped(make_bench):
    bench = make_bench()
    bench.backend.ctrl[0, 2] += 0.05
    bench.backend.step(25)
    stopped = threading.Thread(target=bench.robot.stop)
    with bench.backend.lock:
        stopped.start()
        # What is written here, as a step does with its state, is not written over what stop did.
        wanted = bench.backend.ctrl[0].copy()
        bench.backend.ctrl[0] = wanted
    stopped.join(WAIT_S)
    assert (bench.backend.ctrl[0] != wanted).any()


@pytest.mark.render
def test_a_thread_draws_what_the_main_one_would_while_physics_goes_on(make_bench):
    bench = make_bench(real_time=True)
    try:
        mine = Camera(bench.backend.model, 64, 48)
    except DependencyError as error:
        pytest.skip(str(error))
    expected = mine.render(bench.backend.data(0), "front")
    with ThreadPoolExecutor(1) as pool:
        drawn = pool.submit(bench.render, 64, 48).result(WAIT_S)
        np.testing.assert_array_equal(drawn, expected)
        asked = [pool.submit(bench.render, 64, 48) for _ in range(10)]
        bench.backend.ctrl[0, 2] += 0.1
        bench.clock.resume()
        bench.clock.sleep_until_ns(bench.clock.now_ns() + 300_000_000)
        assert all(a.result(WAIT_S).any() for a in asked)
        assert (pool.submit(bench.render, 64, 48).result(WAIT_S) != expected).any()
    # Contexts of two threads do not mind each other.
    mine.render(bench.backend.data(0), "front")
    mine.close()
