"""A session that is made up: it knows the modes and their commands, and moves no arm."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import numpy as np

from robot_rl.session.command import Answer, Command, Gone, Motion
from robot_rl.session.mode import LEGAL, Mode, Verb
from robot_rl.session.seam import Outlet
from robot_rl.session.view import (
    ActionView,
    CameraView,
    CheckView,
    DataView,
    EpisodeRow,
    EpisodeView,
    ForceView,
    Frame,
    LearnerView,
    Notice,
    RatesPoint,
    RewardView,
    View,
)

NAMES = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
WIDTH, HEIGHT = 160, 120
LIMIT_N = 40.0

REMEDY = "Press the red button at the arm, release it, then say so here."
CHECKS = (
    CheckView(name="camera wrist", state="good", words="serial 218, 30 Hz"),
    CheckView(name="force zero", state="good", words="0.3 N at rest, tared 2 s ago"),
    CheckView(name="disk", state="good", words="41 GB free, room for 900 episodes"),
    CheckView(name="emergency stop tried", state="ask", words="press it once", remedy=REMEDY),
    CheckView(name="dead-man tried", state="ask", words="let go once"),
)
_AFTER = {
    Verb.START: Mode.AUTO,
    Verb.TAKE_OVER: Mode.HOLD,
    Verb.GIVE_BACK: Mode.AUTO,
    Verb.SUCCESS: Mode.REVIEW,
    Verb.FAILURE: Mode.REVIEW,
    Verb.RE_RECORD: Mode.REVIEW,
    Verb.PAUSE: Mode.PAUSED,
    Verb.RESUME: Mode.AUTO,
    Verb.NEXT: Mode.AUTO,
    Verb.STOP: Mode.STOP,
    Verb.CLEAR: Mode.HOLD,
}
_WHY = {
    Mode.READY: "all checks are good",
    Mode.RESETTING: "the arm goes to a start",
    Mode.AUTO: "",
    Mode.HOLD: "you let go; give the arm back, or move it",
    Mode.STOP: "a person pressed STOP on the page",
    Mode.REVIEW: "success, judged by you; the next episode begins in 4 s",
    Mode.PAUSED: "you paused",
}


class MadeUpSession:
    """Implements `seam.Desk`, and shows its view to an outlet 20 times a second.

    What the tests look at: `commands`, `motions` and `gone`, as they were handed in. `heard` is
    told with each of them, so that nobody needs to sleep.
    """

    def __init__(self, rows: Sequence[EpisodeRow] = ()) -> None:
        self.commands: list[Command] = []
        self.motions: list[Motion] = []
        self.gone_clients: list[Gone] = []
        self.heard = threading.Condition()
        self.silent = False
        self.grey = {"front": 60, "wrist": 120}
        self._began_s = time.monotonic()
        self._mode_ns = time.monotonic_ns()
        self._notices = 0
        self._frame = 0
        self._lock = threading.RLock()
        self.view = View(
            number=0,
            run="peg-in-hole-7",
            task="fr3_insert",
            mode=Mode.PREFLIGHT,
            mode_s=0.0,
            driver="nobody",
            holder="",
            why="",
            legal=tuple(sorted(LEGAL[Mode.PREFLIGHT])),
            period_s=0.1,
            checks=CHECKS,
            rows=tuple(rows),
            rates=_rates(),
            learner=_learner("learning", "", 1204),
            data=_data(),
        )
        self.url = ""
        self.page_pid: Callable[[], int] = lambda: 0
        self._first = self.view
        self._outlets: list[Outlet] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._play, name="made up session", daemon=True)

    @property
    def frame_number(self) -> int:
        """Of the newest frame of each camera."""
        return self._frame

    def start(self, outlet: Outlet, url: str) -> None:
        self.url = url
        self._outlets = [outlet]
        self._thread.start()

    def begin(self, mode: Mode = Mode.PREFLIGHT) -> None:
        """Be as at first; nothing has been heard."""
        with self._lock:
            self.silent = False
            self.view = msgspec.structs.replace(self._first, number=self.view.number)
            # Somebody else's rest must not end what a person does.
            self.set(mode=mode, holder="page-99" if mode == Mode.HUMAN else "")
        with self.heard:
            self.commands.clear()
            self.motions.clear()
            self.gone_clients.clear()

    def close(self) -> None:
        self._ended.set()
        if self._thread.ident is not None:
            self._thread.join()

    def set(self, **fields: Any) -> None:
        """Change what is shown; a new mode brings what is legal in it."""
        with self._lock:
            if (mode := fields.get("mode")) is not None:
                self._mode_ns = time.monotonic_ns()
                drivers = {Mode.AUTO: "policy", Mode.HUMAN: "Anna"}
                fields.setdefault("driver", drivers.get(mode, "nobody"))
                fields.setdefault("why", _WHY.get(mode, ""))
                fields.setdefault("legal", tuple(sorted(LEGAL[mode])))
            self.view = msgspec.structs.replace(self.view, **fields)
            self._show()

    def tell(self, level: str, words: str, sound: str = "", say: str = "") -> None:
        """Show a notice."""
        with self._lock:
            self._notices += 1
            fields = {"level": level, "words": words, "sound": sound, "say": say}
            notice = msgspec.convert({"number": self._notices, **fields}, Notice)
            self.set(notices=(*self.view.notices, notice)[-5:])

    def wait(self, what: Callable[[], Any], timeout_s: float = 10.0) -> Any:
        """Wait until something was handed in, and return it."""
        with self.heard:
            got = self.heard.wait_for(what, timeout_s)
        assert got, f"not heard: {[c.verb for c in self.commands]}, {self.motions[-1:]}"
        return got

    def wait_command(self, verb: Verb) -> Command:
        return self.wait(lambda: next((c for c in self.commands if c.verb == verb), None))

    def submit(self, command: Command, answer: Callable[[Answer], None]) -> None:
        legal = command.verb in LEGAL[self.view.mode]
        words = self._do(command) if legal else f"{command.verb} is not possible now"
        answer(Answer(client=command.client, number=command.number, done=legal, words=words))
        with self.heard:
            self.commands.append(command)
            self.heard.notify_all()

    def move(self, motion: Motion) -> None:
        driving = self.view.mode in (Mode.AUTO, Mode.HOLD, Mode.HUMAN)
        mine = self.view.holder in ("", motion.client)
        if motion.active and driving and mine and self.view.mode != Mode.HUMAN:
            self.set(mode=Mode.HUMAN, holder=motion.client)
            self.tell("info", "Anna drives", "take_over")
        elif not motion.active and mine and self.view.mode == Mode.HUMAN:
            self.set(mode=Mode.HOLD)
        with self.heard:
            self.motions.append(motion)
            self.heard.notify_all()

    def gone(self, gone: Gone) -> None:
        if gone.client == self.view.holder:
            self.set(mode=Mode.HOLD, holder="", why=f"{gone.client} is gone: {gone.why}")
        with self.heard:
            self.gone_clients.append(gone)
            self.heard.notify_all()

    def _do(self, command: Command) -> str:
        verb, said = command.verb, command.arguments
        if verb == Verb.CONFIRM:
            self._confirm(said["name"])
        elif verb == Verb.RELABEL:
            self._change_row(said["episode_id"], outcome=said["outcome"])
            return f"{said['episode_id']} is a {said['outcome']} now"
        elif verb == Verb.DELETE:
            self._change_row(said["episode_id"], discarded=True)
            return f"{said['episode_id']} is discarded"
        elif verb == Verb.TRIM:
            self._change_row(said["episode_id"], steps=said["end"] - said["begin"])
            return f"kept {said['end'] - said['begin']} steps"
        elif verb == Verb.NOTE:
            self._change_row(said.get("episode_id", ""), note=said["text"])
        elif verb == Verb.UNDO:
            return "the newest change is undone"
        elif verb in _AFTER:
            self._go(command)
        return ""

    def _go(self, command: Command) -> None:
        holder = command.client if command.verb == Verb.TAKE_OVER else ""
        self.set(mode=_AFTER[command.verb], holder=holder)
        if command.verb in (Verb.SUCCESS, Verb.FAILURE):
            self._change_row(self.view.rows[0].episode_id, outcome=str(command.verb))
            self.tell("good", f"Saved as a {command.verb}", "saved", "saved")
        elif command.verb == Verb.STOP:
            self.tell("bad", "Stopped: a person pressed STOP", "stop", "stopped")

    def _confirm(self, name: str) -> None:
        checks = tuple(
            msgspec.structs.replace(c, state="good") if c.name == name else c
            for c in self.view.checks
        )
        self.set(checks=checks)
        if all(check.state == "good" for check in checks):
            self.set(mode=Mode.READY)

    def _change_row(self, episode_id: str, **fields: Any) -> None:
        rows = tuple(
            msgspec.structs.replace(row, **fields) if row.episode_id == episode_id else row
            for row in self.view.rows
        )
        self.set(rows=rows)

    def _play(self) -> None:
        while not self._ended.wait(0.05):
            if not self.silent:
                self._picture()
                with self._lock:
                    self._show()

    def _show(self) -> None:
        t_s = time.monotonic() - self._began_s
        mode_s = (time.monotonic_ns() - self._mode_ns) / 1e9
        fields: dict[str, Any] = {"number": self.view.number + 1, "mode_s": mode_s}
        fields["cameras"] = tuple(
            CameraView(name=n, width=WIDTH, height=HEIGHT, rate_hz=20, age_s=0.02, frozen=False)
            for n in self.grey
        )
        if self.view.mode in (Mode.AUTO, Mode.HUMAN, Mode.HOLD, Mode.STOP):
            fields |= _running(t_s, by_hand=self.view.mode == Mode.HUMAN)
        self.view = msgspec.structs.replace(self.view, **fields)
        if not self.silent:
            for outlet in self._outlets:
                outlet.show(self.view)

    def _picture(self) -> None:
        self._frame += 1
        for name, grey in self.grey.items():
            self.send_picture(name, np.full((HEIGHT, WIDTH, 3), grey, np.uint8))

    def send_picture(self, camera: str, rgb: np.ndarray, *, reference: bool = False) -> None:
        height, width = rgb.shape[:2]
        frame = Frame(
            camera=camera,
            number=self._frame,
            stamp_ns=time.monotonic_ns() - 20_000_000,
            width=width,
            height=height,
            rgb=rgb.tobytes(),
            reference=reference,
        )
        for outlet in self._outlets:
            outlet.picture(frame)


def _running(t_s: float, *, by_hand: bool) -> dict[str, Any]:
    base = tuple(0.6 * math.sin(0.7 * t_s + i) for i in range(6))
    proposed = tuple(b + 0.15 * math.cos(t_s + i) for i, b in enumerate(base))
    executed = (0.0, 0.5, 0.0, 0.0, 0.0, 0.0) if by_hand else proposed
    step = int(10 * t_s) % 200
    return {
        "force": ForceView(
            force_n=(4 + 3 * math.sin(2 * t_s), 2.0, 12 + 9 * math.sin(0.9 * t_s)),
            torque_n_m=(0.3, 0.1, 0.2),
            limit_n=LIMIT_N,
            limit_n_m=3.0,
            tactile={"left pad": (1 + math.sin(3 * t_s), 0.2), "right pad": (0.8, 0.1)},
        ),
        "action": ActionView(
            names=NAMES,
            base=(*base, 1.0),
            proposed=(*proposed, 1.0),
            executed=(*executed, 1.0),
            gate_reason="FORCE" if math.sin(0.9 * t_s) > 0.8 else "PASSED",
        ),
        "reward": RewardView(
            model="peg-classifier",
            probability=0.5 + 0.48 * math.sin(0.5 * t_s),
            threshold=0.9,
            frame_age_s=0.12,
        ),
        "episode": EpisodeView(
            episode_id="ep-00024",
            seed=1007,
            step=step,
            horizon=200,
            seconds=step / 10,
            reward=0.0,
            human_steps=12,
            judging=False,
            outcome="unknown",
        ),
        "hints": ("Correct early, before the peg touches.", "Give back once it is aligned."),
    }


def _learner(state: str, words: str, updates: int) -> LearnerView:
    fields = {"updates": updates, "updates_per_s": 21.5, "version": 41, "weights_age_s": 3.2}
    said = {"state": state, "words": words, "env_steps": 4810}
    return msgspec.convert(fields | said, LearnerView)


LOST_LEARNER = _learner("lost", "its process ended; the policy acts with weights 41", 1204)


def _data() -> DataView:
    return DataView(
        folder="/data/peg",
        episodes=23,
        discarded=2,
        target=50,
        successes_autonomous=12,
        successes_assisted=6,
        steps=4810,
        human_steps=620,
        free_bytes=41_300_000_000,
        room_episodes=900,
    )


def _rates() -> tuple[RatesPoint, ...]:
    def around(rate: float, width: float) -> tuple[float, float, float]:
        return rate, max(0.0, rate - width), min(1.0, rate + width)

    return tuple(
        RatesPoint(
            episode=i,
            autonomous=around(0.2 + 0.03 * i, 0.3 - 0.007 * i),
            assisted=around(0.5 + 0.015 * i, 0.25 - 0.006 * i),
            intervention=around(0.45 - 0.015 * i, 0.15 - 0.003 * i),
        )
        for i in range(1, 24)
    )
