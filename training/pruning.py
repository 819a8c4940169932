"""The most important channels of a trained network, as the weights of a narrower one (structured pruning).

A channel counts as much as its weights do, summed without signs (Li et al. 2017, arXiv:1608.08710), over all layers
that must lose it together: skips and sums tie layers to each other, which torch-pruning finds (Fang et al. 2023,
arXiv:2301.12900). What is left is the same architecture with other widths, so that a run needs nothing new to hold it.
"""

from __future__ import annotations

import copy
import warnings

import torch
from torch import Tensor, nn

from util.errors import UserError, one_line

_WIDE = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def most_important(wide: nn.Module, narrow: nn.Module, side: int = 64) -> dict[str, Tensor]:
    """Return the weights of ``wide``, without its least important channels, for ``narrow``.

    Args:
        wide: trained.
        narrow: of the same architecture, with fewer channels where there are several.
        side: pixels of the image that is sent through, at least; a multiple of what the network takes is used.

    Raises:
        UserError: the two are not the same but for their widths, or torch-pruning is not installed.
    """
    network, goal = copy.deepcopy(wide).float().eval().requires_grad_(True), narrow.state_dict()
    _check_layers(network, narrow)
    _prune(network, narrow, _example(network, side))
    state = network.state_dict()
    wrong = [key for key in goal if key not in state or state[key].shape != goal[key].shape]
    if wrong:
        raise UserError(f"--prune_from: {wrong[0]} cannot be cut to the size that it has here; try other widths")
    return {key: state[key].detach() for key in goal}


def _check_layers(wide: nn.Module, narrow: nn.Module) -> None:
    layers = [{name: type(module) for name, module in each.named_modules()} for each in (wide, narrow)]
    if layers[0] != layers[1]:
        raise UserError("--prune_from: that run has another architecture; change nothing but --ngf and other widths")
    widths = [[_outputs(module) for module in each.modules() if isinstance(module, _WIDE)] for each in (wide, narrow)]
    if any(here > there for there, here in zip(*widths, strict=True)):
        raise UserError("--prune_from: that run is narrower than this one; give a smaller --ngf")


def _outputs(layer: nn.Module) -> int:
    weight = layer.get_parameter("weight")
    return weight.shape[1] if isinstance(layer, nn.ConvTranspose2d) else weight.shape[0]


def _example(network: nn.Module, side: int) -> Tensor:
    first = next(module for module in network.modules() if isinstance(module, _WIDE))
    multiple, weight = getattr(network, "size_multiple", 1), first.get_parameter("weight")
    pixels = -(-side // multiple) * multiple
    return torch.rand(1, weight.shape[1], pixels, pixels, generator=torch.Generator().manual_seed(0)).to(weight.device)


def _prune(wide: nn.Module, narrow: nn.Module, example: Tensor) -> None:
    """Cut every layer of ``wide`` that has fewer outputs in ``narrow`` down to as many."""
    try:
        import torch_pruning
    except ImportError:
        raise UserError("--prune_from needs torch-pruning: pip install -r requirements-export.txt") from None
    targets = {name: _outputs(module) for name, module in narrow.named_modules() if isinstance(module, _WIDE)}
    ratios, kept = {}, []
    for name, module in wide.named_modules():
        if name in targets and targets[name] < _outputs(module):
            ratios[module] = 1 - (targets[name] + 0.5) / _outputs(module)  # it rounds down
        elif name in targets:
            kept.append(module)
    importance = torch_pruning.importance.GroupMagnitudeImportance(p=1)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of weights that belong to no layer it knows; shapes are checked later
            torch_pruning.pruner.BasePruner(
                wide, example, importance, pruning_ratio_dict=ratios, pruning_ratio=0.0, ignored_layers=kept
            ).step()
    except (IndexError, RuntimeError, ValueError, KeyError, AttributeError) as error:
        raise UserError(f"--prune_from: torch-pruning cannot follow this network ({one_line(error)})") from None
