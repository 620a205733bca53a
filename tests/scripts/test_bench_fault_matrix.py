from __future__ import annotations

import fault_matrix
import pytest

TINY = fault_matrix.Effort(
    losses=2,
    deaths=2,
    stalls=5,
    jumps=20,
    messages=200,
    live=0,
    faults=("actor killed", "command repeated"),
)


@pytest.mark.sim
def test_the_matrix_has_every_fault_in_every_state_and_every_promise_is_a_claim():
    rows, claims = fault_matrix.run(TINY)
    cells = {(row["name"], row["state"]): row for row in rows if "state" in row}
    assert len(cells) == 8
    killed = cells["actor killed", "policy drives"]
    assert (killed["becomes"], killed["reason"], killed["ends_by"]) == (
        "HOLD",
        "PEER_LOST",
        "resume",
    )
    assert cells["actor killed", "stopped"]["ends_by"] == "clear"
    assert cells["command repeated", "policy drives"]["becomes"] == "RUN"
    figures = {row["name"]: row for row in rows if "state" not in row}
    assert figures["command loss: silent"]["hold_ms"] <= 100.0
    assert figures["gate killed"]["travel_mm"] < figures["command loss: silent"]["travel_mm"] < 45
    names = [claim.name for claim in claims]
    assert len(names) == len(set(names)) == 11
    short = [claim.name for claim in claims if not claim.holds]
    assert set(short) <= {"command loss: tool at rest, longest"}
