"""`robot-rl data doctor`: what is wrong with stored data, and its repair."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tyro.conf import Positional

from robot_rl.app.data.stores import is_lerobot, stores_in
from robot_rl.app.terminal import Terminal, count_text
from robot_rl.core.errors import ConfigError
from robot_rl.data.exchange.lerobot.doctor import examine_lerobot, repair_lerobot
from robot_rl.data.finding import Finding
from robot_rl.data.store.repair.doctor import examine, repair


@dataclass(frozen=True, slots=True, kw_only=True)
class Doctor:
    """Find what is wrong with a store or a LeRobot data set; exit status 1 if anything is.

    Nothing is changed without --repair. A store is repaired where it is and keeps what was
    damaged; a LeRobot data set is left as it is and its whole episodes are copied.

    Examples:
      robot-rl data doctor runs/NAME/online
      robot-rl data doctor runs/NAME/online --repair
      robot-rl data doctor some_lerobot_dataset --repair --into repaired_dataset
    """

    path: Positional[Path]
    """A store, a run's folder, or a LeRobot v3 data set."""

    repair: bool = False
    """Keep what is whole, put aside what is not."""

    into: Path | None = None
    """Where the repaired copy of a LeRobot data set goes."""

    def run(self, terminal: Terminal) -> int:
        """Examine, repair if asked, and return 1 if something is wrong afterwards."""
        if is_lerobot(self.path):
            return self._lerobot(terminal)
        if self.into is not None:
            raise ConfigError(f"--into is for LeRobot data sets; {self.path} is none")
        wrong = 0
        for store in stores_in(self.path):
            if self.repair:
                for done in repair(store):
                    terminal.say(f"{store}: {done}")
            findings = examine(store)
            wrong |= _report(store, findings, terminal)
            if findings and not self.repair:
                terminal.say(f"repair it: robot-rl data doctor {store} --repair")
        return wrong

    def _lerobot(self, terminal: Terminal) -> int:
        command = f"robot-rl data doctor {self.path} --repair --into NEW"
        if self.repair != (self.into is not None):
            raise ConfigError(f"a LeRobot data set is repaired into a copy: {command}")
        if self.into is None:
            findings = examine_lerobot(self.path)
            wrong = _report(self.path, findings, terminal)
            if wrong:
                terminal.say(f"repair it into a copy: {command}")
            return wrong
        count = repair_lerobot(self.path, self.into)
        terminal.say(
            f"wrote the first {count_text(count, 'episode')} of {self.path} to {self.into}"
        )
        return _report(self.into, examine_lerobot(self.into), terminal)


def _report(path: Path, findings: Sequence[Finding], terminal: Terminal) -> int:
    if not findings:
        terminal.say(f"{path}: nothing is wrong", style="green")
        return 0
    terminal.say(f"{path}: {count_text(len(findings), 'finding')}", style="yellow")
    for number, finding in enumerate(findings, start=1):
        episode = f"episode {finding.episode}: " if finding.episode else ""
        terminal.say(f"{number:>3}. {episode}{finding.problem}")
        terminal.say(f"     in {finding.path}")
        terminal.say(f"     {finding.remedy}")
    return 1
