"""SmolVLA, pi0 and pi0.5: the adapter plans what lerobot plans, steered and guided."""

from __future__ import annotations

import numpy as np
import pytest

from robot_rl.control.chunking.planner import PlanContext
from robot_rl.policies.base import PlanRequest

pytestmark = pytest.mark.timeout(400)
"""The first test loads lerobot: seconds on a free machine, more than a minute on a busy one."""

KINDS = ["smolvla", "pi0", "pi05"]
CHUNK, WIDEST = 6, 5
SCALE = np.float32([0.1, 0.2, 0.4])
MEAN, SPREAD = np.float32([0.02, -0.05, 0.1]), np.float32([0.07, 0.1, 0.15])
"""Of the actions of the dataset that the miniatures' statistics stand for."""


@pytest.fixture(params=KINDS)
def vla(request, adapter, miniature):
    folder = miniature(request.param)
    backbone = {"backbone": str(folder / "tokenizer")} if request.param != "smolvla" else {}
    return adapter(request.param, **backbone)


def lerobot_plan(reference, miniature, vla, batch, **options):
    """What lerobot's own functions make of one observation."""
    import torch
    from lerobot.policies.factory import make_pre_post_processors

    kind = vla.spec.name.removeprefix("lerobot/")
    folder = miniature(kind)
    with pytest.MonkeyPatch.context() as patch:
        if kind != "smolvla":
            patch.setattr(
                "lerobot.policies.factory.make_pre_post_processors",
                lambda config, **given: make_pre_post_processors(
                    config,
                    preprocessor_overrides={
                        "tokenizer_processor": {"tokenizer_name": str(folder / "tokenizer")}
                    },
                    **given,
                ),
            )
        policy, before, after = reference(folder)
    noise = torch.from_numpy(options["noise"])[None]
    return after(policy.predict_action_chunk(before(batch), noise=noise))[0].numpy()


def test_it_plans_what_lerobot_plans(vla, miniature, reference, requests_of, in_lerobot_words):
    request = requests_of(vla, 1)[0]

    plan = vla.infer([request])[0]

    expected = lerobot_plan(
        reference, miniature, vla, in_lerobot_words(request.window[0]), noise=request.noise
    )
    assert (vla.spec.horizon, vla.spec.execute) == (CHUNK, 4)
    np.testing.assert_allclose(plan * SCALE, np.clip(expected, -SCALE, SCALE), atol=1e-5)


def test_noise_decides_the_plan_and_nothing_else_does(vla, requests_of):
    here, there = requests_of(vla, 2)

    first, again, other = (
        vla.infer([PlanRequest(window=here.window, noise=noise)])[0]
        for noise in (here.noise, here.noise, there.noise)
    )

    assert vla.spec.noise == (CHUNK, WIDEST)
    np.testing.assert_array_equal(first, again)
    assert np.abs(first - other).max() > 1e-2


def test_a_batch_plans_what_each_request_plans_alone(vla, requests_of, seen):
    requests = requests_of(vla, 3)
    words = PlanRequest(window=(seen(7, "cube"),), noise=requests[0].noise)
    requests = [*requests, words]

    together = vla.infer(requests)

    alone = np.concatenate([vla.infer([request]) for request in requests])
    np.testing.assert_allclose(together, alone, atol=1e-4)


def test_the_instruction_is_read(vla, requests_of, seen):
    noise = requests_of(vla, 1)[0].noise

    red, cube = (
        vla.infer([PlanRequest(window=(seen(1, words),), noise=noise)])[0]
        for words in ("red red red", "cube")
    )

    assert np.abs(red - cube).max() > 1e-6


def test_a_guided_plan_begins_as_what_is_in_play(vla, requests_of):
    request = requests_of(vla, 1)[0]
    free = vla.infer([request])[0]
    ahead = np.clip(-free[:4], -0.9, 0.9)

    context = PlanContext(ahead=ahead, frozen=3)
    guided = vla.infer([PlanRequest(window=request.window, noise=request.noise, context=context)])[
        0
    ]

    assert vla.spec.guided
    assert np.abs(guided[:3] - ahead[:3]).max() < 0.2 * np.abs(free[:3] - ahead[:3]).max()


def test_what_is_in_play_reaches_lerobot_in_the_policys_own_normalised_numbers(
    vla, requests_of, monkeypatch
):
    """Rests on the statistics: (action in SI - mean) / spread."""
    processor = vla._policy.rtc_processor
    told = []
    real = type(processor).denoise_step

    def listen(self, *arguments, **named):
        told.append({**named, "most": self.rtc_config.max_guidance_weight})
        return real(self, *arguments, **named)

    monkeypatch.setattr(type(processor), "denoise_step", listen)
    request = requests_of(vla, 1)[0]
    ahead = np.float32([[0.5, -0.5, 0.25], [0.0, 0.1, 0.2]])
    vla.infer(
        [
            PlanRequest(
                window=request.window,
                noise=request.noise,
                context=PlanContext(ahead=ahead, frozen=1),
                max_guidance_weight=3.0,
            )
        ]
    )

    prefix = told[0]["prev_chunk_left_over"][0].numpy()
    # pi0.5 maps its quantiles, here mean and spread as well, to [-1, 1]: the same numbers.
    np.testing.assert_allclose(prefix, (ahead * SCALE - MEAN) / SPREAD, atol=1e-4)
    assert (told[0]["inference_delay"], told[0]["execution_horizon"]) == (1, 2)
    assert told[0]["most"] == 3.0


def test_guided_and_free_requests_share_a_call(vla, requests_of):
    first, second = requests_of(vla, 2)
    context = PlanContext(ahead=np.zeros((4, 3), np.float32), frozen=2)
    guided = PlanRequest(window=first.window, noise=first.noise, context=context)

    plans = vla.infer([guided, second])

    np.testing.assert_allclose(plans[0], vla.infer([guided])[0], atol=1e-6)
    np.testing.assert_allclose(plans[1], vla.infer([second])[0], atol=1e-6)
