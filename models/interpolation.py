"""Network interpolation (Wang et al. 2018, arXiv:1809.00219): between two sets of weights of one network."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from util.errors import UserError


def interpolated(first: Mapping[str, Tensor], second: Mapping[str, Tensor], alpha: float) -> dict[str, Tensor]:
    """Return (1 - alpha) * first + alpha * second of two state dicts; counters are the second's.

    Between smooth (trained by distance) and crisp (trained further as a GAN) weights of one network that is a
    network, too; of weights that began apart it is not.

    Raises:
        UserError: the two are not weights of one architecture.
    """
    shapes, others = ({key: value.shape for key, value in state.items()} for state in (first, second))
    if shapes != others:
        wrong = next(key for key in [*shapes, *others] if shapes.get(key) != others.get(key))
        raise UserError(f"the two files hold different networks ({wrong} differs); give two weights of one network")
    return {
        key: first[key].lerp(second[key].to(first[key].dtype), alpha) if value.is_floating_point() else value.clone()
        for key, value in second.items()
    }
