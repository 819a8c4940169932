"""Begin from other weights: take what fits, say what does not, and keep what shall stay as it is."""

from __future__ import annotations

import fnmatch
import pathlib
from collections.abc import Sequence

from torch import Tensor, nn

from models.base import TranslationModel
from models.files import weight_file
from models.networks.foreign import clean_state_dict, load_weights
from util.errors import UserError

_SHOWN = 3


def init_from(networks: dict[str, nn.Module], source: pathlib.Path) -> str:
    """Copy the weights of a run folder or a file into networks as far as names and shapes agree.

    A folder gives each network its ``latest_net_<name>.pth``; a generator that is not there takes that of the other
    kind of run (G for G_A, G_A for G). A file goes into the first generator.

    Returns:
        One line for each network: how many tensors were taken, and which were not and why.

    Raises:
        UserError: there are no weights, or nothing in them fits any network.
    """
    files = _files(networks, source)
    lines, taken = [], 0
    for name, network in networks.items():
        if name not in files:
            lines.append(f"--init_from: {name}: no weights in {source}; left as initialised")
            continue
        count, line = take(network, load_weights(files[name]))
        taken += count
        lines.append(f"--init_from: {name}: {line} ({files[name]})")
    if not taken:
        raise UserError(f"--init_from {source}: not one tensor fits; {lines[0].removeprefix('--init_from: ')}")
    return "\n".join(lines)


def _files(networks: dict[str, nn.Module], source: pathlib.Path) -> dict[str, pathlib.Path]:
    if source.is_file():
        generator = next((name for name in networks if name.startswith("G")), next(iter(networks)))
        return {generator: source}
    if not source.is_dir():
        raise UserError(f"--init_from {source}: no such run or file; give a run's --name, its folder or a weight file")
    files = {name: path for name in networks if (path := _in_folder(source, name)) is not None}
    if not files:
        raise UserError(f"--init_from {source}: no latest_net_*.pth in it; name one of its weight files instead")
    return files


def _in_folder(folder: pathlib.Path, network: str) -> pathlib.Path | None:
    others = {"G": "G_A", "G_A": "G"}
    candidates = [weight_file(folder, "latest", name) for name in (network, others.get(network, network))]
    return next((path for path in candidates if path.is_file()), None)


def take(network: nn.Module, state: dict[str, Tensor]) -> tuple[int, str]:
    """Copy what fits into ``network``; return how many tensors that were, and a line about it."""
    state, own = clean_state_dict(state, network), network.state_dict()
    fitting = {key: value for key, value in state.items() if key in own and value.shape == own[key].shape}
    network.load_state_dict(own | fitting)
    left_out = [_reason(key, own, state) for key in dict.fromkeys([*own, *state]) if key not in fitting]
    shown = "; ".join(left_out[:_SHOWN]) + (f" and {len(left_out) - _SHOWN} more" if len(left_out) > _SHOWN else "")
    return len(fitting), f"{len(fitting)} of {len(own)} tensors taken" + (f"; not: {shown}" if left_out else "")


def _reason(key: str, own: dict[str, Tensor], state: dict[str, Tensor]) -> str:
    if key in own and key in state:
        return f"{key} is {_shape(state[key])} there and {_shape(own[key])} here"
    return f"{key} is {'missing there' if key in own else 'unknown here'}"


def _shape(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "a scalar"


def freeze(model: TranslationModel, patterns: Sequence[str]) -> str:
    """Fix the weights whose names, such as ``G.model.1.weight``, match a pattern; return a line about it.

    Norm statistics of frozen layers still follow the data.

    Raises:
        UserError: a pattern matches nothing, or leaves a player nothing to train.
    """
    networks = model.networks()
    weights = {
        f"{name}.{key}": value  # as in the weight files, whatever is put around a network
        for name, network in networks.items()
        for key, value in network.state_dict(keep_vars=True).items()
        if isinstance(value, nn.Parameter)
    }
    frozen: set[str] = set()
    for pattern in patterns:
        matched = fnmatch.filter(weights, pattern)
        if not matched:
            raise UserError(f"--freeze {pattern}: no weight has such a name; they are like {next(iter(weights))}")
        frozen.update(matched)
    for phase in model.phases():
        if all(name in frozen for name in weights if name.split(".")[0] in phase.networks):
            raise UserError(f"--freeze {','.join(patterns)}: nothing of {', '.join(phase.networks)} is left to train")
    for name in frozen:
        weights[name].requires_grad_(False)
    return f"--freeze: {len(frozen)} of {len(weights)} weight tensors stay as they are"
