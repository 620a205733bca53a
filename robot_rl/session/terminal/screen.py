"""The session on a terminal's screen: shows the newest view, and hands in what keys ask for.

It holds no truth of its own. What a terminal cannot tell of its keys is said in `held`.
"""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import events
from textual.app import App, ComposeResult

from robot_rl.session.client.line import Heard, Line
from robot_rl.session.client.post import stop_by_post
from robot_rl.session.command import Answer
from robot_rl.session.mode import Verb
from robot_rl.session.terminal.confirmation import ConfirmKeys
from robot_rl.session.terminal.dialog import Choice, Dialog, help_dialog
from robot_rl.session.terminal.drive import PERIOD_S, Drive
from robot_rl.session.terminal.face import Face
from robot_rl.session.terminal.held import AGAIN_S
from robot_rl.session.terminal.key import (
    ASKS,
    CONFIRMS,
    GRIPPER,
    HELP,
    MOVES,
    WORDS,
    key_of,
    verb_of,
)
from robot_rl.session.terminal.news import Level, News
from robot_rl.session.terminal.wish import ASKING, arguments_of, question_for
from robot_rl.session.view import View

_TICK_S = 0.25
"""Ages grow, and a silence is noticed, without a word from the session."""
_DEAF_S = 0.05
"""After the beginning of a key that nobody knows: what follows at once is the rest of it."""
_STOP_S = 0.25
"""A stop that is not answered within that goes another way as well."""
_STRANGE = "^"
_SAID = frozenset(
    {
        Verb.RELABEL,
        Verb.TRIM,
        Verb.DELETE,
        Verb.RE_RECORD,
        Verb.UNDO,
        Verb.NOTE,
        Verb.END,
        Verb.CHECK,
        Verb.CONFIRM,
        Verb.CLEAR,
    }
)
"""Their answers are worth a message."""


class SessionScreen(App[int], inherit_bindings=False):
    """One person at a terminal.

    Args:
        line: to the session, open.
    """

    ENABLE_COMMAND_PALETTE: ClassVar[bool] = False

    def __init__(self, line: Line) -> None:
        super().__init__()
        self._line = line
        self._view: View | None = None
        self._drive = Drive()
        self._news = News()
        self._face = Face()
        self._confirm_keys = ConfirmKeys()
        self._waiting: dict[int, Verb] = {}
        self._last: tuple[str, float] = ("", 0.0)
        self._deaf_s = self._deaf_until_s = 0.0
        self._has_ended = False
        self._stops: set[asyncio.Task[None]] = set()

    def compose(self) -> ComposeResult:
        """Make what is shown."""
        yield self._face

    def on_mount(self) -> None:
        """Begin to listen, and to be heard."""
        self.run_worker(self._line.run(self._hear))
        self.set_interval(PERIOD_S, self._move)
        self.set_interval(_TICK_S, self._refresh)
        self._refresh()

    async def on_event(self, event: events.Event) -> None:
        """Hear a key before anything else does: a stop wherever one is, a question's own there."""
        if not isinstance(event, events.Key) or event.is_forwarded:
            await super().on_event(event)
        elif _is_stop(event.key):
            await self._stop()
        elif event.key in ("ctrl+c", "ctrl+q"):
            self._leave()
        else:
            key = key_of(event.key, event.character)
            is_repeat = self._is_repeat(key, event.time)
            if isinstance(self.screen, Dialog):
                if not (is_repeat and isinstance(self.screen, Choice)):
                    await super().on_event(event)
            elif not self._is_deaf(event.time):
                self._press(key, event.time, is_repeat)

    def on_app_blur(self) -> None:
        """Somebody looks at another window: nobody sees there that a key is held."""
        self._drive.release()

    def on_resize(self) -> None:
        """Fill the new size."""
        self._refresh()

    def _is_repeat(self, key: str, when_s: float) -> bool:
        """Whether a key that is held comes again: it asks once, also across questions."""
        last, last_s = self._last
        self._last = (key, when_s)
        return key == last and when_s - last_s < AGAIN_S

    def _is_deaf(self, when_s: float) -> bool:
        """Whether what comes now was meant for something else; until nothing comes for a while."""
        if when_s >= self._deaf_until_s:
            return False
        self._deaf_until_s = when_s + self._deaf_s
        return True

    def _be_deaf(self, now_s: float, for_s: float) -> None:
        self._deaf_s, self._deaf_until_s = for_s, now_s + for_s

    def _press(self, key: str, when_s: float, is_repeat: bool) -> None:
        if key in MOVES:
            self._drive.press(key, when_s)
            return
        self._drive.release()
        if is_repeat:
            return
        if key == _STRANGE:
            self._be_deaf(when_s, _DEAF_S)
        elif key == GRIPPER:
            self._drive.toggle_gripper()
        elif key == HELP:
            self.push_screen(help_dialog())
        elif key == "q":
            self._leave()
        elif key in CONFIRMS:
            self._confirm(key)
        elif key in ASKS:
            self._ask_by(key)

    def _move(self) -> None:
        if isinstance(self.screen, Dialog):
            self._drive.release()
        self._line.move(*self._drive.motion())

    async def _stop(self) -> None:
        """Stop, by whatever way there is, and say so if there is none."""
        self._drive.release()
        number = self._line.command(Verb.STOP)
        if number > 0:
            self._waiting[number] = Verb.STOP
        task = asyncio.create_task(self._see_to_stop(number))
        self._stops.add(task)
        task.add_done_callback(self._stops.discard)
        while isinstance(self.screen, Dialog):
            await self.pop_screen()
            self._be_deaf(self._now_s, AGAIN_S)

    async def _see_to_stop(self, number: int) -> None:
        """Stop by HTTP too unless the answer comes at once: a cut line still counts as live."""
        if self._line.status.is_live:
            await asyncio.sleep(_STOP_S)
            if number not in self._waiting:
                return
        if not await asyncio.to_thread(stop_by_post, self._line.address):
            words = "The stop may not have been heard: use the emergency stop at the arm."
            self._say("bad", words)
            self.bell()

    def _ask_by(self, key: str) -> None:
        view = self._view
        if view is None or not self._line.status.is_live:
            return self._say("bad", "no contact with the session: nothing was asked for")
        verb = verb_of(key, view.legal)
        if verb is None:
            return self._say("info", f"{WORDS[ASKS[key][0]]}: not possible now")
        if verb in ASKING:
            return self._question(verb, view)
        return self._ask(verb)

    def _ask(self, verb: Verb, arguments: dict[str, str | int] | None = None) -> None:
        number = self._line.command(verb, arguments) if self._line.status.is_live else 0
        if number == 0:
            self._say("bad", f"no contact with the session: no {WORDS[verb]}")
        else:
            self._waiting[number] = verb

    def _confirm(self, key: str) -> None:
        view = self._view
        if view is None or Verb.CONFIRM not in view.legal:
            return
        check = next((c for c in view.checks if self._confirm_keys.of(c) == key), None)
        if check is not None:
            self._ask(Verb.CONFIRM, {"name": check.name})

    def _question(self, verb: Verb, view: View) -> None:
        cause = view.why

        def answered(text: str | None) -> None:
            if not text:
                return
            arguments = arguments_of(verb, text, cause)
            if arguments is None:
                self._say("bad", f"{WORDS[verb]}: got {text!r}; nothing was asked for")
            else:
                self._ask(verb, arguments)

        self.push_screen(question_for(verb, view), answered)

    def _leave(self) -> None:
        """Ask whether to end the session, or to leave it."""
        if isinstance(self.screen, Choice):
            return
        view = self._view
        legal = view is not None and self._line.status.is_live and Verb.END in view.legal
        end = "y  end the session; what it has is saved\n" if legal else ""
        why = "" if legal else "The session cannot be ended now: pause it, and wait.\n"
        leave = "l  leave this terminal; the session goes on, and an arm held here rests\n"
        words = f"{why}{end}{leave}any other key: go back"

        def answered(key: str | None) -> None:
            if key == "l":
                self.exit(0)
            elif key == "y":
                self._ask(Verb.END)

        self._drive.release()
        self.push_screen(Choice("End?", words, "y l" if legal else "l"), answered)

    def _hear(self, heard: Heard) -> None:
        if isinstance(heard, View):
            self._view = heard
            self._confirm_keys.update(heard.checks)
            if self._news.take(heard, self._now_s) > 0:
                self.bell()
            self._refresh()
        elif isinstance(heard, Answer):
            self._answered(heard)
        else:
            self._say("bad", heard.words)

    def _answered(self, answer: Answer) -> None:
        verb = self._waiting.pop(answer.number, None)
        if verb is None:
            return
        if not answer.done:
            self._say("bad", f"Refused: {answer.words or WORDS[verb]}")
        elif verb in _SAID and answer.words:
            self._say("good", answer.words)
        self._has_ended |= answer.done and verb == Verb.END

    def _say(self, level: Level, words: str) -> None:
        self._news.say(level, words, self._now_s)
        self._refresh()

    @property
    def _now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def _refresh(self) -> None:
        """Show what there is, and what depends on time and on the line."""
        status = self._line.status
        if self._has_ended and not self._line.client:
            self.exit(0)
        self._drive.update(self._view, status.is_live)
        question = self.screen_stack[-1] if self.screen_stack else None
        legal = self._view.legal if self._view is not None else ()
        if isinstance(question, Dialog) and question.verb not in (None, *legal):
            question.dismiss("")
            # Whoever writes on does not see at once that it is gone.
            self._be_deaf(self._now_s, AGAIN_S)
        self._face.show(
            self._view, status, self._line.client, self._news, self._now_s, self._confirm_keys
        )


def _is_stop(key: str) -> bool:
    """Whether it is Esc; one that another key follows at once comes as that key with Alt."""
    return key == "escape" or key.startswith("alt+")
