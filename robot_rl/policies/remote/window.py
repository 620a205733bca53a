"""The observations of a request, under the policy's own keys, to and from a window.

With a history of several every array has a leading axis, the oldest observation first. `/` may
stand for `.` in a key, as openpi's users write it. Not here: the rest of a request (`protocol`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from robot_rl.core.errors import ContractError, did_you_mean
from robot_rl.core.types import Image, Observation, Vector
from robot_rl.policies.base import PolicySpec

PROMPT = "prompt"
_MAX_PROMPT = 8192
"""Characters: no instruction is longer, and a tokeniser is slow."""


def window_of(window: Sequence[Observation], spec: PolicySpec) -> dict[str, Any]:
    """Return what the policy looks at, by key; without copies if it is one observation."""
    keys = spec.observation
    if len(window) == 1:
        seen = window[0]
        message: dict[str, Any] = {key: seen.vectors[key] for key in keys.vectors}
        message |= {key: seen.images[key] for key in keys.images}
    else:
        message = {key: np.stack([seen.vectors[key] for seen in window]) for key in keys.vectors}
        message |= {key: np.stack([seen.images[key] for seen in window]) for key in keys.images}
    return {**message, PROMPT: window[-1].instruction}


def read_window(message: Mapping[str, Any], spec: PolicySpec) -> tuple[Observation, ...]:
    """Return the observations that a message holds, a control period apart, from 0 ns on.

    What the policy does not look at is ignored. Nothing is resized.

    Raises:
        ContractError: naming the key, what came and what was expected.
    """
    given, seen = _given(message), spec.observation
    leading = (spec.history,) if spec.history > 1 else ()
    vectors = {
        key: floats(key, _take(key, given), (*leading, vector.size))
        for key, vector in seen.vectors.items()
    }
    images = {
        key: _image(key, _take(key, given), (*leading, image.height, image.width, 3))
        for key, image in seen.images.items()
    }
    prompt = _prompt(message)
    period_ns = round(spec.action.period_s * 1e9)
    return tuple(
        Observation(
            stamp_ns=i * period_ns,
            vectors=_at(vectors, i) if leading else vectors,
            images=_at(images, i) if leading else images,
            instruction=prompt,
        )
        for i in range(spec.history)
    )


def floats(key: str, value: object, shape: tuple[int | None, ...]) -> Vector:
    """Return float32 of the shape, of its own memory; None fits any length.

    Raises:
        ContractError: if it is no array of real numbers, of another shape, or not finite.
    """
    array = _array(key, value, shape, "fiu", "numbers")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ContractError(f"{key}: got values that are not finite as float32")
    return numbers


def _image(key: str, value: object, shape: tuple[int, ...]) -> Image:
    return _array(key, value, shape, "u", "uint8", size=1)


def _array(
    key: str,
    value: object,
    shape: tuple[int | None, ...],
    kinds: str,
    what: str,
    size: int | None = None,
) -> NDArray[Any]:
    wanted = f"expected {what}[{', '.join('n' if n is None else str(n) for n in shape)}]"
    if not isinstance(value, np.ndarray):
        raise ContractError(f"{key}: got {type(value).__name__}, {wanted}")
    fits = len(value.shape) == len(shape) and all(
        n is None or n == m for n, m in zip(shape, value.shape, strict=True)
    )
    dtype = value.dtype
    if not fits or dtype.kind not in kinds or (size is not None and dtype.itemsize != size):
        raise ContractError(
            f"{key}: got {dtype}{list(value.shape)}, {wanted}; nothing is resized here"
        )
    return value


def _given(message: Mapping[str, Any]) -> dict[str, Any]:
    """The message by keys with dots."""
    given: dict[str, Any] = {}
    for key, value in message.items():
        dotted = key.replace("/", ".")
        if dotted in given:
            raise ContractError(f"request: {dotted!r} came twice, with `.` and with `/`")
        given[dotted] = value
    return given


def _take(key: str, given: Mapping[str, Any]) -> object:
    dotted = key.replace("/", ".")
    if dotted not in given:
        raise ContractError(f"request: missing {key!r}{did_you_mean(dotted, given)}")
    return given[dotted]


def _at(arrays: Mapping[str, NDArray[Any]], i: int) -> dict[str, NDArray[Any]]:
    return {key: array[i] for key, array in arrays.items()}


def _prompt(message: Mapping[str, Any]) -> str:
    prompt = message.get(PROMPT, "")
    if not isinstance(prompt, str) or len(prompt) > _MAX_PROMPT:
        got = f"{len(prompt)} characters" if isinstance(prompt, str) else type(prompt).__name__
        raise ContractError(f"{PROMPT}: got {got}, expected text of at most {_MAX_PROMPT}")
    return prompt
