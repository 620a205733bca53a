"""The deployed policy in a run's folder: online weights, bound to the base under them."""

from __future__ import annotations

from pathlib import Path

from robot_rl.app.run_config import RunConfig
from robot_rl.core.errors import ConfigError, FingerprintError
from robot_rl.policies.ready_base import RunBase
from robot_rl.runtime.checkpoint import latest_checkpoint, save_checkpoint
from robot_rl.runtime.evaluator import Deployed
from robot_rl.runtime.improve import Trainable


def new_policy(config: RunConfig, base: RunBase) -> Trainable:
    """An online policy with fresh weights, version 0, of the run's learner."""
    return config.learner.build(base, config.seed).policy()


def save_improved(path: Path, deployed: Deployed, base: RunBase) -> None:
    """Save the deployed policy; without weights the base alone is deployed."""
    meta = {
        "version": deployed.version,
        "success": deployed.success,
        "base_fingerprint": base.fingerprint,
        "contract": base.contract,
    }
    newest = latest_checkpoint(path)
    step = newest.step + 1 if newest else 0
    save_checkpoint(path, step, deployed.weights or {}, meta, keep=1)


def load_improved(path: Path, config: RunConfig, base: RunBase) -> Trainable | None:
    """The deployed online policy, or None if the base alone is deployed.

    Raises:
        ConfigError: if nothing is deployed yet.
        FingerprintError: if it was learned on another base policy.
    """
    saved = latest_checkpoint(path)
    if saved is None:
        raise ConfigError(f"{path} has no improved policy: run `robot-rl improve`")
    check_base(saved.meta["base_fingerprint"], base, path)
    if not saved.meta["version"]:
        return None
    policy = new_policy(config, base)
    policy.load_weights(saved.tensors, int(saved.meta["version"]))
    return policy


def check_base(fingerprint: str, base: RunBase, where: Path) -> None:
    """Refuse what belongs to another base policy.

    Raises:
        FingerprintError: naming both fingerprints.
    """
    if fingerprint != base.fingerprint:
        raise FingerprintError(
            f"{where} belongs to base policy {fingerprint[:12]}, this one is "
            f"{base.fingerprint[:12]}: it was trained again or exchanged; improve it anew"
        )
