"""One episode through the loop: the same function collects, trains and evaluates.

What differs is who is handed in: a demonstrator, a base policy, an online policy, a supervisor.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

from robot_rl.control.arbiter import Arbiter, Decision
from robot_rl.control.chunk_player import Player
from robot_rl.control.operator_lease import LeaseEvent
from robot_rl.core.episode import Episode, EpisodeMetadata
from robot_rl.core.errors import ContractError, HardwareError
from robot_rl.core.protocol import Env, OnlinePolicy, Operator, OperatorInput
from robot_rl.core.types import (
    NO_LATENT,
    Observation,
    Outcome,
    Source,
    StepResult,
    Transition,
    Vector,
)

OnStep = Callable[[Transition], None]


class Agent:
    """Who acts when nobody intervenes: a base policy, an online policy on top, or one alone.

    Args:
        base: plays the frozen base policy's chunks; without it the base action is zero.
        online: proposes the whole action; without it the base action is proposed. Without either
            nothing is: the arm rests while no person drives.
        size: number of action elements.
    """

    def __init__(self, *, base: Player | None, online: OnlinePolicy | None, size: int) -> None:
        self.base = base
        self.online = online
        self._idle = np.zeros(size, np.float32)
        self._rests = False

    @property
    def version(self) -> int:
        """Version of the online weights that act; 0 for the base alone."""
        return self.online.version if self.online else 0

    @property
    def latent(self) -> Vector:
        """The noise float32[k] behind the online policy's chunk in play; k = 0 if none steers."""
        return self.online.latent if self.online else NO_LATENT

    def reset(self, seed: int) -> None:
        """A new episode: drop queued actions, seed the noise of both policies."""
        if self.base:
            self.base.reset(seed)
        if self.online:
            self.online.reset(seed)

    def base_action(self, observation: Observation) -> Vector:
        """The base policy's action for this observation; takes one action off its queue.

        Zeros if it has none, for then nothing is proposed.
        """
        alone = self._idle if self.online else None
        action = self.base.next(observation) if self.base else alone
        self._rests = action is None
        return self._idle if action is None else action

    def propose(
        self, observation: Observation, base_action: Vector, *, explore: bool
    ) -> Vector | None:
        """The action that the policies ask for; None if the base policy has nothing to play.

        An online policy is not asked then: what it adds is meant for a base policy that acts.
        """
        if self._rests:
            return None
        if self.online is None:
            return base_action
        return self.online.propose(observation, base_action, explore=explore)

    def replan(self) -> None:
        """Forget the plan that has just been overruled: the arm did not follow it."""
        if self.base:
            self.base.replan()
        if self.online:
            self.online.replan()


class Rollout:
    """Runs episodes in an environment.

    Args:
        env: the closed loop around robot, gate and task.
        agent: who acts.
        arbiter: lets a person win.
        operator: the person, or None.
        human_source: what steps that the person drives are recorded as.
        explore: whether the online policy explores.
        awaits_person: the environment sees to the person before each episode: whoever was lost in
            the one before leaves the arm held, and does not end the run.
    """

    def __init__(
        self,
        env: Env,
        agent: Agent,
        arbiter: Arbiter,
        *,
        operator: Operator | None = None,
        human_source: Source = Source.HUMAN,
        explore: bool = False,
        awaits_person: bool = False,
    ) -> None:
        self._env = env
        self._agent = agent
        self._arbiter = arbiter
        self._operator = operator
        self._human_source = human_source
        self._explore = explore
        self._awaits_person = awaits_person

    @property
    def take_overs(self) -> tuple[LeaseEvent, ...]:
        """When a person took the arm, and how that ended; the newest, oldest first."""
        return self._arbiter.events

    def hold(self) -> None:
        """Let the policy drive no more in this episode; a person still may."""
        self._arbiter.hold()

    def run(
        self,
        episode_id: str,
        seed: int,
        metadata: EpisodeMetadata,
        on_step: OnStep = lambda _: None,
    ) -> Episode:
        """Run one episode from the start state of `seed` and return it.

        `on_step` is called with every transition, within the control period.

        Raises:
            ContractError: if the person's device drives other elements than the task has.
            GateStopError, HardwareError: whatever robot or gate cannot go on with; also if the
                person's device was lost in the episode before and has not come back.
        """
        observation = self._begin(seed)
        base_action = self._agent.base_action(observation)
        transitions: list[Transition] = []
        while True:
            tick_s = time.perf_counter()
            proposed = self._agent.propose(observation, base_action, explore=self._explore)
            latent = self._agent.latent
            decision = self._arbiter.decide(proposed, self._poll(observation))
            thought_s = time.perf_counter() - tick_s
            source = self._recorded(decision.source)
            result = self._env.step(decision.action, source)
            tick_s = time.perf_counter()
            if _overruled(proposed, decision) or result.gate_reason.refuses:
                self._agent.replan()
            next_base = self._agent.base_action(result.observation)
            transition = Transition(
                observation=observation,
                next_observation=result.observation,
                action=result.executed_action,
                base_action=base_action,
                next_base_action=next_base,
                proposed_action=_recordable(proposed, result),
                reward=result.reward,
                terminated=result.terminated,
                truncated=result.truncated,
                source=source,
                intervention_start=decision.intervention_start,
                gate_reason=result.gate_reason,
                inference_s=thought_s + time.perf_counter() - tick_s,
                lateness_s=result.lateness_s,
                episode_id=episode_id,
                step=len(transitions),
                policy_version=self._agent.version,
                latent=_recordable_latent(latent, proposed),
            )
            transitions.append(transition)
            on_step(transition)
            if result.terminated or result.truncated:
                return Episode.from_transitions(transitions, result.outcome, metadata)
            observation, base_action = result.observation, next_base

    def _poll(self, observation: Observation) -> OperatorInput | None:
        if self._operator is None:
            return None
        try:
            said = self._operator.poll(observation)
        except HardwareError as error:
            self._arbiter.lose(str(error))
            return None
        if why := self._env.action_spec.misfit(said.action):
            raise ContractError(f"{self._operator.name} {why}")
        return said

    def _begin(self, seed: int) -> Observation:
        if self._operator and self._arbiter.lost and not self._awaits_person:
            raise HardwareError(
                f"{self._operator.name} was lost and nobody could take over: "
                f"{self._arbiter.events[-1].detail}; see to the device, then resume the run"
            )
        observation = self._env.reset(seed)
        self._agent.reset(seed)
        self._arbiter.reset()
        if self._operator:
            self._operator.reset(seed)
        return observation

    def _recorded(self, source: Source) -> Source:
        return self._human_source if source == Source.HUMAN else source


def _overruled(proposed: Vector | None, decision: Decision) -> bool:
    """Whether the arm did not follow the plan; a plan that is not there yet is waited for."""
    if proposed is None:
        return decision.source == Source.HUMAN
    return decision.source != Source.POLICY


def _recordable(proposed: Vector | None, result: StepResult) -> Vector:
    """The proposal, or where it is no action at all (the gate's reason says so) what was done."""
    executed = result.executed_action
    if proposed is None:
        return executed
    fits = proposed.shape == executed.shape and bool(np.isfinite(proposed).all())
    return proposed if fits else executed


def _recordable_latent(latent: Vector, proposed: Vector | None) -> Vector:
    """The noise, or zeros where neither it nor the proposal made from it is finite.

    A finite proposal from noise that is not is a fault of the policy, which the episode refuses.
    """
    acted = proposed is not None and bool(np.isfinite(proposed).all())
    if acted or np.isfinite(latent).all():
        return latent
    return np.zeros_like(latent)


def force_curve(episode: Episode, key: str) -> Vector:
    """Norm of the contact force over an episode, float32[T] [N]; NaN without a wrench."""
    if key not in episode.vectors:
        return np.full(len(episode), np.nan, np.float32)
    return np.linalg.norm(episode.vectors[key][1:, :3], axis=-1)


def succeeded(episode: Episode) -> bool:
    """Whether the episode ended in success, with or without help."""
    return episode.outcome == Outcome.SUCCESS
