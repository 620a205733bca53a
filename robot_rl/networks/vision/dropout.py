"""Dropout whose masks are its own: they come from its state and not from torch's global one."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class CountedDropout(nn.Module):
    """Sets elements to 0 with probability `p` and scales the rest by 1 / (1 - p).

    The mask is a function of a seed and of how many came before; both are in the state_dict, so
    what is resumed draws the masks that it would have drawn. It acts in training mode and where a
    gradient is recorded alone: targets are not noisy.

    Args:
        p: in [0, 1); rounded to a multiple of 1/256, for random bytes are cheaper than floats.
    """

    drawn: Tensor
    """int64[2]: seed, and number of masks drawn."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = round(256 * p) / 256
        seed = int(torch.randint(2**32, ()))
        self.register_buffer("drawn", torch.tensor([seed, 0], dtype=torch.int64))
        self._generator = torch.Generator()

    def __deepcopy__(self, memo: dict[int, object]) -> CountedDropout:
        # A torch.Generator cannot be deep-copied, and it holds nothing between two masks.
        twin = CountedDropout.__new__(CountedDropout)
        nn.Module.__init__(twin)
        twin.p = self.p
        twin.register_buffer("drawn", self.drawn.clone())
        twin._generator = torch.Generator()
        return twin.train(self.training)

    def forward(self, x: Tensor) -> Tensor:
        """Return float32 of the shape of `x`."""
        if not (self.training and self.p > 0.0 and torch.is_grad_enabled()):
            return x
        seed, count = self.drawn.tolist()
        # torch's generator on a processor takes no more than 32 bits of a seed.
        self._generator.manual_seed((seed + count) % 2**32)
        self.drawn[1] += 1
        words = torch.empty(x.numel() // 8 + 1, dtype=torch.int64)
        words.random_(torch.iinfo(torch.int64).min, None, generator=self._generator)
        drawn = words.view(torch.uint8)[: x.numel()].view(x.shape)
        # Compared as floats and in place: from truth values they are made several times slower.
        kept = drawn.to(x.device, torch.float32).ge_(round(256 * self.p))
        return x * kept.mul_(1.0 / (1.0 - self.p))
