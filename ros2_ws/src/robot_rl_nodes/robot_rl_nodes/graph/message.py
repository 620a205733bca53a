"""What the policy bridge says, as messages: actions, plans and steps."""

from __future__ import annotations

from robot_rl_msgs.msg import ActionChunk, ActionStamped, NamedVector, PolicyStep

from robot_rl.core.clock import NS_PER_S
from robot_rl.core.spec import ActionSpec
from robot_rl.core.types import Outcome, Source, Transition, Vector
from robot_rl_nodes.conversion import float32s, stamp_from_ns, write_vectors
from robot_rl_nodes.graph.contract import Moment
from robot_rl_nodes.graph.period import Period

_KINDS = {
    "tcp_delta": ActionStamped.KIND_TCP_DELTA,
    "joint_delta": ActionStamped.KIND_JOINT_DELTA,
}


def action_message(
    action: Vector | None,
    spec: ActionSpec,
    *,
    source: Source = Source.POLICY,
    seq: int,
    stamp_ns: int,
    seen_ns: int,
) -> ActionStamped:
    """Return an action float32[d]; None for somebody who wants nothing.

    Args:
        action: normalised.
        spec: of the action space.
        source: as what the sender commands.
        seq: epoch of the seat in the upper half, number of the action in the lower.
        stamp_ns: when it was decided, ROS time [ns].
        seen_ns: of the observation that it was decided from, ROS time [ns].
    """
    message = ActionStamped(
        seq=int(seq),
        source=int(source),
        kind=_KINDS[spec.kind],
        active=action is not None,
        data=float32s([] if action is None else action),
    )
    stamp_from_ns(stamp_ns, message.header.stamp)
    stamp_from_ns(seen_ns, message.obs_stamp)
    return message


def chunk_message(plan: Vector, period_s: float, stamp_ns: int) -> ActionChunk:
    """Return a plan float32[h, d], normalised, that begins at its observation's stamp [ns]."""
    message = ActionChunk(
        horizon=int(plan.shape[0]), dim=int(plan.shape[1]), data=float32s(plan.ravel())
    )
    stamp_from_ns(stamp_ns, message.header.stamp)
    stamp_from_ns(stamp_ns, message.obs_stamp)
    stamp_from_ns(round(period_s * NS_PER_S), message.dt)
    return message


def first_step(episode_id: str, moment: Moment, base_action: Vector) -> PolicyStep:
    """Return the observation with which an episode begins."""
    message = PolicyStep(episode_id=episode_id, index=0)
    return _seen(message, moment, base_action)


def step_message(
    transition: Transition, outcome: Outcome, moment: Moment, period: Period, version: int
) -> PolicyStep:
    """Return a control period as it was: who drove in it is what the gate said.

    Args:
        transition: as the loop made it.
        outcome: as it was judged.
        moment: of its next observation.
        period: what the gate did.
        version: of the weights that made the plan in play.
    """
    message = PolicyStep(
        episode_id=transition.episode_id,
        index=int(transition.step + 1),
        action=float32s(transition.action),
        proposed_action=float32s(transition.proposed_action),
        latent=float32s(transition.latent),
        reward=float(transition.reward),
        outcome=int(outcome),
        terminated=bool(transition.terminated),
        truncated=bool(transition.truncated),
        source=int(period.source),
        intervention_start=bool(period.intervention_start),
        gate_reason=int(transition.gate_reason),
        inference_s=float(transition.inference_s),
        lateness_s=float(transition.lateness_s),
        policy_version=int(version),
    )
    return _seen(message, moment, transition.next_base_action)


def _seen(message: PolicyStep, moment: Moment, base_action: Vector) -> PolicyStep:
    observation = moment.observation
    stamp_from_ns(moment.stamp_ns, message.header.stamp)
    message.vectors = write_vectors(NamedVector, observation.vectors)
    message.streams = list(moment.streams)
    message.stream_stamps = [
        stamp_from_ns(ns, type(message.header.stamp)()) for ns in moment.streams.values()
    ]
    message.stream_ages_s = float32s([observation.ages_s[name] for name in moment.streams])
    message.base_action = float32s(base_action)
    return message
