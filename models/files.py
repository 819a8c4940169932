"""Weight files of a run, under the established names ``<epoch>_net_<network>.pth``."""

from __future__ import annotations

import pathlib

import torch
from torch import Tensor, nn

from models.networks.foreign import clean_state_dict, load_weights
from util.errors import UserError, one_line, pass_interrupts_on
from util.files import atomic_file


def weight_file(folder: pathlib.Path, epoch: str, network: str) -> pathlib.Path:
    """Return the path of one network's weights."""
    return folder / f"{epoch}_net_{network}.pth"


def plain_state(network: nn.Module) -> dict[str, Tensor]:
    """Return a state dict on the CPU, every tensor contiguous and owning its memory."""
    return {
        key: value.detach().to("cpu", memory_format=torch.contiguous_format, copy=True)
        for key, value in network.state_dict().items()
    }


def save_networks(networks: dict[str, nn.Module], folder: pathlib.Path, epoch: str) -> None:
    """Write each network's weights atomically as a plain state dict.

    Raises:
        UserError: the disk takes no more, or the folder is gone; the file that was there before is untouched.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: the run's folder has vanished; bring it back and use --continue_train")
    for name, network in networks.items():
        path = weight_file(folder, epoch, name)
        try:
            with atomic_file(path, make_folder=False) as file:
                torch.save(plain_state(network), file)
        except (OSError, RuntimeError) as error:
            pass_interrupts_on(error)
            reason = one_line(error)
            raise UserError(f"{path}: cannot be saved ({reason}); free some space and use --continue_train") from None


def load_networks(networks: dict[str, nn.Module], folder: pathlib.Path, epoch: str) -> None:
    """Load each network's weights, made here or by the established tool.

    Raises:
        UserError: a file is missing, unreadable, or holds another architecture.
    """
    for name, network in networks.items():
        path = weight_file(folder, epoch, name)
        if not path.is_file():
            raise UserError(f"{path}: no such weights{_others(folder, name)}")
        load_into(network, path)


def load_into(network: nn.Module, path: pathlib.Path) -> None:
    """Load one weight file into a network; UserError when it holds another architecture."""
    read = load_weights(path)
    adopt = getattr(network, "adopt", None)
    if callable(adopt):
        adopt(read, str(path))
    state = clean_state_dict(read, network)
    expected = network.state_dict()
    wrong = [key for key in expected if key not in state or state[key].shape != expected[key].shape]
    wrong += [key for key in state if key not in expected]
    if wrong:
        raise UserError(
            f"{path}: not the architecture that the flags describe ({len(wrong)} of {len(expected.keys() | state)} "
            f"tensors differ, first {wrong[0]}); leave out --netG, --scale, --norm, --ngf and --no_dropout to have "
            "them read from the run"
        )
    network.load_state_dict(state)


def _others(folder: pathlib.Path, network: str) -> str:
    found = sorted(p.name.removesuffix(f"_net_{network}.pth") for p in folder.glob(f"*_net_{network}.pth"))
    return f" (--epoch can be {', '.join(found)})" if found else ""
