"""What is asked before something is asked for: a name, a text, or whether to leave."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from robot_rl.session.mode import Verb
from robot_rl.session.terminal.key import ASKS, WORDS

_HELP = """\
Esc              STOP, at any time, also in a question like this one
arrows           hold to move in x and y; taking over needs nothing else
PgUp PgDn        hold to move up and down
[ ]              hold to turn
g                open or close the gripper
Space            take over: the arm rests and is yours
Enter            give back: the policy drives
{keys}
C                clear a stop (large C)
1 to 9           confirm a check that asks
?                this
A terminal tells no key's rise: a tap moves for half a second, and so
does a key that was let go of at once. The page and devices are better."""


class Dialog(ModalScreen[str], inherit_bindings=False):
    """Asks something; what it is dismissed with is what was answered, nothing for nothing.

    Args:
        verb: closed when it is not legal any more; None for one that always is.
    """

    DEFAULT_CSS = """
    Dialog { align: center middle; }
    Dialog Vertical {
        width: 76; max-width: 100%; height: auto; max-height: 100%; padding: 0 1;
        background: $surface; border: ascii $foreground;
    }
    Dialog .title { text-style: bold; }
    Dialog Input { margin-top: 1; border: none; height: 1; padding: 0; }
    """

    def __init__(self, verb: Verb | None) -> None:
        super().__init__()
        self.verb = verb


class Question(Dialog):
    """Asks for a line of text; an empty one asks for nothing.

    Args:
        verb: that it is for.
        title: what is asked, in bold; `words`: what the person needs to know.
        value: text to begin with.
    """

    def __init__(self, verb: Verb, title: str, words: str, value: str = "") -> None:
        super().__init__(verb)
        self._title = title
        self._words = words
        self._value = value

    def compose(self) -> ComposeResult:
        """Make what is shown."""
        with Vertical():
            yield Static(self._title, classes="title", markup=False)
            yield Static(self._words, markup=False)
            yield Input(self._value, max_length=1000, select_on_focus=False, compact=True)
            yield Static("Enter: do it, empty: go back, Esc: STOP", markup=False)

    def on_mount(self) -> None:
        """Write at once."""
        self.query_one(Input).focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer with the text."""
        event.stop()
        self.dismiss(event.value.strip())


class Choice(Dialog):
    """Asks for one key; any other one answers with nothing.

    Args:
        title: what is asked, in bold; `words`: what the keys do.
        keys: that are an answer.
    """

    def __init__(self, title: str, words: str, keys: str = "") -> None:
        super().__init__(None)
        self._title = title
        self._words = words
        self._keys = keys

    def compose(self) -> ComposeResult:
        """Make what is shown."""
        with Vertical():
            yield Static(self._title, classes="title", markup=False)
            yield Static(self._words, markup=False)

    def on_key(self, event: events.Key) -> None:
        """Answer with the key."""
        event.stop()
        key = event.key.lower()
        self.dismiss(key if key in self._keys.split() else "")


def help_dialog() -> Choice:
    """Return the list of all keys."""
    shown = ("space", "enter", "C")
    keys = [
        f"{key:<4} {' or '.join(WORDS[verb] for verb in verbs)}"
        for key, verbs in ASKS.items()
        if key not in shown
    ]
    half = (len(keys) + 1) // 2
    beside = [*keys[half:], *[""] * (2 * half - len(keys))]
    pairs = [f"{left:<28}{right}".rstrip() for left, right in zip(keys, beside, strict=False)]
    return Choice("Keys", _HELP.format(keys="\n".join(pairs)))
