from dataclasses import dataclass, field

import pytest

from robot_rl.core.errors import ConfigError, ContractError
from robot_rl.session.preflight import Finding, Preflight


@dataclass
class Scripted:
    """A check that finds one thing after the other, and the last one for good."""

    name: str
    findings: list[Finding | Exception] = field(default_factory=lambda: [good()])
    runs: int = 0

    def run(self):
        finding = self.findings[min(self.runs, len(self.findings) - 1)]
        self.runs += 1
        if isinstance(finding, Exception):
            raise finding
        return finding


def good(words="as it should be"):
    return Finding(good=True, words=words)


def bad(words="broken", remedy="mend it"):
    return Finding(good=False, words=words, remedy=remedy)


def states(preflight):
    return {view.name: view.state for view in preflight.views()}


def test_nothing_is_good_before_it_was_checked():
    preflight = Preflight([Scripted("clock")], [])
    assert states(preflight) == {"clock": "waiting"}
    assert not preflight.good
    preflight.run()
    assert states(preflight) == {"clock": "good"}
    assert preflight.good


def test_a_bad_check_hides_no_other_and_tells_words_and_remedy():
    preflight = Preflight([Scripted("disk", [bad()]), Scripted("clock")], [])
    preflight.run()
    disk, clock = preflight.views()
    assert (disk.state, disk.words, disk.remedy) == ("bad", "broken", "mend it")
    assert clock.state == "good"
    assert not preflight.good


def test_a_check_that_fails_is_a_bad_finding_in_its_words_and_logged(caplog):
    preflight = Preflight([Scripted("disk", [ZeroDivisionError("by 0")]), Scripted("clock")], [])
    preflight.run()
    disk, clock = preflight.views()
    assert disk.state == "bad"
    assert "ZeroDivisionError: by 0" in disk.words
    assert clock.state == "good"
    assert "check disk" in caplog.text


def test_checked_again_a_check_may_come_to_something_else():
    check = Scripted("disk", [bad(), good(), bad()])
    preflight = Preflight([check], [])
    seen = []
    for _ in range(3):
        preflight.run()
        seen.append(preflight.good)
    assert seen == [False, True, False]


def test_while_it_runs_what_is_not_checked_anew_waits():
    preflight = Preflight([Scripted("clock"), Scripted("disk")], [])
    preflight.run()
    told = []
    preflight.run(lambda: told.append(states(preflight)))
    assert told == [{"clock": "good", "disk": "waiting"}, {"clock": "good", "disk": "good"}]


def test_a_confirmation_asks_until_somebody_gives_their_name_and_is_remembered():
    preflight = Preflight([Scripted("clock")], ["emergency stop tried"])
    preflight.run()
    asked = preflight.views()[1]
    assert (asked.name, asked.state) == ("emergency stop tried", "ask")
    assert not preflight.good
    preflight.confirm("emergency stop tried", " Ada ")
    assert preflight.good
    preflight.run()
    confirmed = preflight.views()[1]
    assert (confirmed.state, confirmed.words) == ("good", "confirmed by Ada")


@pytest.mark.parametrize(
    ("name", "by", "words"),
    [("emergency stop tryed", "Ada", "did you mean"), ("emergency stop tried", " ", "no name")],
)
def test_what_nobody_asked_and_nobody_says_is_not_confirmed(name, by, words):
    preflight = Preflight([], ["emergency stop tried"])
    with pytest.raises(ContractError, match=words):
        preflight.confirm(name, by)
    assert not preflight.good


def test_two_of_one_name_are_refused():
    with pytest.raises(ConfigError, match="clock: checked twice"):
        Preflight([Scripted("clock")], ["clock"])


def test_what_is_added_later_hinders_the_start_until_it_was_looked_at():
    preflight = Preflight([Scripted("clock")], ["stop tried"])
    preflight.run()
    preflight.confirm("stop tried", "Ada")
    assert preflight.good
    preflight.add(Scripted("policy"))
    assert states(preflight)["policy"] == "waiting"
    assert not preflight.good
    preflight.run()
    assert preflight.good
    for name in ("clock", "stop tried", "policy"):
        with pytest.raises(ConfigError, match=f"{name}: checked twice"):
            preflight.add(Scripted(name))
