"""ACT and Diffusion: the adapter plans what lerobot plans."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from robot_rl.core.errors import ContractError
from robot_rl.policies.base import PlanRequest

pytestmark = pytest.mark.timeout(400)
"""The first test loads lerobot: seconds on a free machine, more than a minute on a busy one."""

NOISE_SHAPE = (8, 3)


def si(policy, plans):
    return plans * np.float32(policy.spec.action.scale)


def lerobot_chunk(reference, folder, batch, **options):
    policy, before, after = reference(folder)
    return after(policy.predict_action_chunk(before(batch), **options)).numpy()


def clipped(policy, values):
    most = np.float32(policy.spec.action.scale)
    return np.clip(values, -most, most)


def test_act_plans_what_lerobot_plans(
    adapter, miniature, reference, requests_of, in_lerobot_words
):
    act = adapter("act")
    request = requests_of(act, 1)[0]
    expected = lerobot_chunk(reference, miniature("act"), in_lerobot_words(request.window[-1]))

    plan = act.infer([request])[0]

    assert (act.spec.horizon, act.spec.execute, act.spec.noise) == (8, 5, None)
    np.testing.assert_allclose(si(act, plan), clipped(act, expected[0]), atol=1e-6)


def test_processing_a_whole_chunk_equals_processing_each_action(
    miniature, reference, requests_of, adapter, in_lerobot_words
):
    policy, before, after = reference(miniature("act"))
    batch = in_lerobot_words(requests_of(adapter("act"), 1)[0].window[-1])
    chunk = policy.predict_action_chunk(before(batch))

    whole = after(chunk)[0].numpy()
    each = np.concatenate([after(chunk[:, i]).numpy() for i in range(chunk.shape[1])])

    np.testing.assert_array_equal(whole, each)


@pytest.mark.parametrize("scheduler", ["DDIM", "DDPM"])
def test_diffusion_plays_the_actions_of_lerobots_own_queue(
    adapter, miniature, reference, seen, in_lerobot_words, scheduler
):
    import torch

    ours = adapter("diffusion", **({"ddim_steps": 3} if scheduler == "DDIM" else {}))
    steps = {"num_inference_steps": 3} if scheduler == "DDIM" else {}
    policy, before, after = reference(
        miniature("diffusion"), noise_scheduler_type=scheduler, **steps
    )
    policy.reset()
    drawn = None if scheduler == "DDPM" else np.zeros(NOISE_SHAPE, np.float32)
    noise = None if drawn is None else torch.from_numpy(drawn)[None]
    for start in range(0, 12, 4):
        rng = torch.random.get_rng_state()
        theirs = [
            after(policy.select_action(before(in_lerobot_words(seen(start + i))), noise=noise))[0]
            for i in range(4)
        ]
        torch.random.set_rng_state(rng)
        window = (seen(max(start - 1, 0)), seen(start))
        plan = ours.infer([PlanRequest(window=window, noise=drawn)])[0]
        np.testing.assert_allclose(si(ours, plan[:4]), clipped(ours, np.stack(theirs)), atol=1e-6)


def test_a_diffusion_plan_goes_on_behind_the_actions_that_lerobot_gives(adapter):
    diffusion = adapter("diffusion", ddim_steps=3)

    spec = diffusion.spec

    assert (spec.horizon, spec.execute, spec.history, spec.noise) == (7, 4, 2, NOISE_SHAPE)


def test_noise_decides_a_ddim_plan_and_nothing_else_does(adapter, requests_of):
    diffusion = adapter("diffusion", ddim_steps=3)
    here, there = requests_of(diffusion, 2)
    moved = PlanRequest(window=here.window, noise=there.noise)

    first, again, other = (diffusion.infer([r])[0] for r in (here, here, moved))

    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-3


def test_ddpm_is_a_black_box_until_it_is_sampled_with_ddim(adapter, requests_of):
    assert adapter("diffusion").spec.noise is None

    quick = adapter("diffusion", ddim_steps=3)

    request = requests_of(quick, 1)[0]
    assert quick.spec.noise == NOISE_SHAPE
    np.testing.assert_array_equal(quick.infer([request]), quick.infer([request]))


@pytest.mark.parametrize("kind", ["act", "diffusion"])
def test_a_batch_plans_what_each_request_plans_alone(adapter, requests_of, kind):
    policy = adapter(kind, **({"ddim_steps": 3} if kind == "diffusion" else {}))
    requests = requests_of(policy, 3)

    together = policy.infer(requests)

    alone = np.concatenate([policy.infer([request]) for request in requests])
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_clients_at_the_same_time_do_not_mix(adapter, requests_of):
    policy = adapter("diffusion", ddim_steps=3)
    requests = [requests_of(policy, 1, first=client)[0] for client in range(4)]
    expected = [policy.infer([request])[0] for request in requests]

    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            plans = pool.map(lambda request: policy.infer([request])[0], requests)
            for plan, alone in zip(plans, expected, strict=True):
                np.testing.assert_allclose(plan, alone, atol=1e-6)


def test_a_request_that_does_not_fit_is_refused(adapter, requests_of):
    diffusion = adapter("diffusion", ddim_steps=3)
    request = requests_of(diffusion, 1)[0]

    with pytest.raises(ContractError, match="got 1 observations, expected 2"):
        diffusion.infer([PlanRequest(window=request.window[:1], noise=request.noise)])
