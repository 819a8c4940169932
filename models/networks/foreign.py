"""Weights made elsewhere: read them safely, put their keys in order, and read the architecture off them."""

from __future__ import annotations

import pathlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

from models.networks import DISCRIMINATORS, GENERATORS
from models.networks.foreign_enlargers import SCALE_UNSEEN, recognise_enlarger, scale_in_name
from models.networks.foreign_inpainters import lama_alone, recognise_inpainter
from util.errors import UserError
from util.inert_files import is_foreign_archive, load_inert
from util.torch_files import load_torch_file

State = dict[str, Tensor]
_WRAPPERS = ("params_ema", "params", "state_dict", "model_state_dict", "G")
_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def load_weights(path: str | pathlib.Path) -> State:
    """Return the tensors of a .pth or .safetensors file, on the CPU, by key; no code in the file is ever run.

    Raises:
        UserError: the file is missing, damaged, holds anything but tensors, or asks to run code.
    """
    path = pathlib.Path(path)
    if not path.is_file():
        raise UserError(f"{path}: no such weights file")
    try:
        content = _read(path)
    except Exception as error:  # a damaged or hostile file can fail anywhere inside the reader
        raise UserError(
            f"{path}: cannot be read as weights ({_reason(path, error)}); give an undamaged state dict"
        ) from error
    state = _unwrap(content)
    if state is None:
        raise UserError(f"{path}: holds no state dict of tensors; save the network's state_dict() and give that")
    return state


def _read(path: pathlib.Path) -> Any:
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    return load_inert(path) if is_foreign_archive(path) else load_torch_file(path)


def _reason(path: pathlib.Path, error: Exception) -> str:
    if path.suffix != ".safetensors" and not _looks_saved(path):
        return "it is damaged, or no weight file at all"
    if "weights_only" in str(error).lower():
        return "it holds more than tensors, which could run code"
    first = str(error).strip().partition("\n")[0][:120]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def _looks_saved(path: pathlib.Path) -> bool:
    """Return whether a file begins as those of ``torch.save`` do: a zip archive, or a binary pickle."""
    with path.open("rb") as file:
        return file.read(2) in (b"PK", *(bytes((0x80, protocol)) for protocol in range(2, 6)))


def _unwrap(content: Any) -> State | None:
    for wrapper in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(wrapper), Mapping):
            content = content[wrapper]
    if not isinstance(content, Mapping) or not content:
        return None
    if not all(isinstance(k, str) and isinstance(v, Tensor) for k, v in content.items()):
        return None
    return dict(content)


def clean_state_dict(state: Mapping[str, Any], network: nn.Module | None = None) -> State:
    """Return the tensors of ``state`` under the keys of the network itself.

    Wrappers such as ``{"params": ...}`` and the ``module.`` of data parallel training go, and so do statistics
    that old files carry for instance norm: those of a norm without a weight or, when ``network`` is given, all
    that it does not have. UserError if ``state`` holds no tensors.
    """
    plain = _unwrap(state)
    if plain is None:
        raise UserError("the weights hold no state dict of tensors; save the network's state_dict() and give that")
    own_state = getattr(network, "own_state", None)
    if callable(own_state):
        return own_state(plain)  # it may hold the same weights under other names
    while all(key.startswith("module.") for key in plain):
        plain = {key.removeprefix("module."): value for key, value in plain.items()}
    plain = lama_alone(plain)
    known = None if network is None else set(network.state_dict())
    return {key: value for key, value in plain.items() if not _is_stale(key, plain, known)}


def _is_stale(key: str, state: State, known: set[str] | None) -> bool:
    layer, _, name = key.rpartition(".")
    if name not in _STATISTICS:
        return False
    return f"{layer}.weight" not in state if known is None else key not in known


def infer_generator(state: Mapping[str, Any]) -> tuple[str, dict[str, Any], int, int]:
    """Return (name, its options' values, input_nc, output_nc) of the generator that ``state`` belongs to.

    Dropout leaves no trace in U-Net keys, and it is off at inference anyway: there no_dropout is False. A
    srresnet without norm keys counts as instance norm. srcnn and fsrcnn keep no trace of their scale: it is left out.
    UserError if no generator of a2b fits.
    """
    state = clean_state_dict(state)
    for recognise in (_unet, _resnet, _srresnet, recognise_inpainter, recognise_enlarger):
        if (found := recognise(state)) is not None:
            return found
    raise UserError(f"unknown generator: keys {_some(state)} fit none of {', '.join(GENERATORS.names())}")


def infer_generator_file(path: str | pathlib.Path) -> tuple[str, dict[str, Any], int, int]:
    """Return what :func:`infer_generator` says of a weight file; a scale that weights do not tell is in its name.

    Raises:
        UserError: naming the file, which cannot be read, holds no generator of a2b, or does not tell its scale.
    """
    state = load_weights(path)
    try:
        name, values, input_nc, output_nc = infer_generator(state)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    scale = scale_in_name(pathlib.Path(path).name)
    if name in SCALE_UNSEEN:
        if scale is None:
            raise UserError(
                f"{path}: the weights of {name} do not tell the scale; name the run's folder in its place, or give the "
                "file a name with x1, x2, x3, x4 or x8 in it"
            )
        values = values | {"scale": scale}
    return name, values, input_nc, output_nc


def infer_discriminator(state: Mapping[str, Any]) -> tuple[str, dict[str, Any], int]:
    """Return (name, its options' values, input_nc) of the discriminator that ``state`` belongs to.

    UserError if no discriminator of a2b fits.
    """
    state = clean_state_dict(state)
    for recognise in (_pixel, _patchgan):
        if (found := recognise(state)) is not None:
            return found
    raise UserError(f"unknown discriminator: keys {_some(state)} fit none of {', '.join(DISCRIMINATORS.names())}")


def generator_from_state(state: Mapping[str, Any], scale: int = 1) -> nn.Module:
    """Return the generator that ``state`` belongs to, with its weights; UserError if none fits.

    Args:
        scale: for weights that do not tell theirs.
    """
    name, values, input_nc, output_nc = infer_generator(state)
    values = values | {"scale": scale} if name in SCALE_UNSEEN else values
    make = GENERATORS.get(name)
    return _filled(lambda: make(GENERATORS.options(name)(**values), input_nc, output_nc), state, name)


def discriminator_from_state(state: Mapping[str, Any]) -> nn.Module:
    """Return the discriminator that ``state`` belongs to, with its weights; UserError if none fits."""
    name, values, input_nc = infer_discriminator(state)
    make = DISCRIMINATORS.get(name)
    return _filled(lambda: make(DISCRIMINATORS.options(name)(**values), input_nc), state, name)


def _filled(make: Callable[[], nn.Module], state: Mapping[str, Any], name: str) -> nn.Module:
    network = make()
    try:
        network.load_state_dict(clean_state_dict(state, network))
    except RuntimeError as error:
        first = str(error).split("\n")[1].strip()[:160]
        raise UserError(f"the weights look like {name}, but do not fit it: {first}") from error
    return network


def _some(state: State) -> str:
    return ", ".join(list(state)[:3]) + (", ..." if len(state) > 3 else "")


def _norm(state: State, convolution: str, norm: str) -> str:
    """Return the ``--norm`` between a convolution and what follows; only instance norm leaves it a bias."""
    scaled, tracked = f"{norm}.weight" in state, f"{norm}.running_mean" in state
    if f"{convolution}.bias" in state:
        return "instance_affine" if scaled else "instance"
    if not scaled:
        return "none"
    return "batch" if tracked else "batch_untracked"


def _is_convolution(state: State, key: str) -> bool:
    return key in state and state[key].ndim == 4


def _unet(state: State) -> tuple[str, dict[str, Any], int, int] | None:
    level, downs = "model.model.1.model", 1
    found = _upsampling(state, "model.model.3")
    if not _is_convolution(state, "model.model.0.weight") or found is None:
        return None
    while _is_convolution(state, f"{level}.1.weight"):
        level, downs = f"{level}.3.model", downs + 1
    first, (upsample, output_nc) = state["model.model.0.weight"], found
    norm = _norm(state, "model.model.1.model.1", "model.model.1.model.2")
    values = {"ngf": first.shape[0], "norm": norm, "no_dropout": False, "upsample": upsample}
    names = {8: "unet_256", 7: "unet_128"}
    depth = {} if downs in names else {"num_downs": downs}
    return names.get(downs, "unet"), values | depth, first.shape[1], output_nc


def _upsampling(state: State, layer: str) -> tuple[str, int] | None:
    """Return ``--upsample`` and the output channels of a layer that doubles the size; None where it is none."""
    for kind, key, axis, share in (("transpose", "", 1, 1), ("resize", ".1", 0, 1), ("pixelshuffle", ".0", 0, 4)):
        if _is_convolution(state, f"{layer}{key}.weight"):
            return kind, state[f"{layer}{key}.weight"].shape[axis] // share
    return None


def _resnet(state: State) -> tuple[str, dict[str, Any], int, int] | None:
    blocks = {int(m[1]) for key in state if (m := re.match(r"model\.(\d+)\.conv_block\.", key))}
    last = f"model.{17 + len(blocks)}.weight"
    if not blocks or not _is_convolution(state, "model.1.weight") or not _is_convolution(state, last):
        return None
    names = {9: "resnet_9blocks", 6: "resnet_6blocks"}
    if len(blocks) not in names:
        raise UserError(f"a ResNet of {len(blocks)} blocks: a2b has resnet_9blocks and resnet_6blocks")
    first = state["model.1.weight"]
    no_dropout = not _is_convolution(state, "model.10.conv_block.6.weight")
    values = {"ngf": first.shape[0], "norm": _norm(state, "model.1", "model.2"), "no_dropout": no_dropout}
    values["upsample"] = (_upsampling(state, f"model.{10 + len(blocks)}") or ("transpose",))[0]
    return names[len(blocks)], values, first.shape[1], state[last].shape[0]


def _srresnet(state: State) -> tuple[str, dict[str, Any], int, int] | None:
    blocks = sum(1 for key in state if re.fullmatch(r"block\d+\.conv1\.weight", key))
    output = f"block{blocks + 3}"
    doublings = sum(1 for key in state if re.fullmatch(rf"{output}\.\d+\.conv\.weight", key))
    last, first_step = f"{output}.{doublings}.weight", f"{output}.0.conv.weight"
    if not blocks or not _is_convolution(state, "block1.0.weight") or not _is_convolution(state, last):
        return None
    first = state["block1.0.weight"]
    tracked = "block2.bn1.running_mean" in state  # every convolution has a bias here, also before batch norm
    norm = "batch" if tracked else _norm(state, "block2.conv1", "block2.bn1")
    thrice = first_step in state and state[first_step].shape[0] == 9 * first.shape[0]
    values = {"ngf": first.shape[0], "norm": norm, "n_blocks": blocks, "scale": 3 if thrice else 2**doublings}
    return "srresnet", values, first.shape[1], state[last].shape[0]


def _pixel(state: State) -> tuple[str, dict[str, Any], int] | None:
    if not _is_convolution(state, "net.0.weight") or not _is_convolution(state, "net.5.weight"):
        return None
    first = state["net.0.weight"]
    return "pixel", {"ndf": first.shape[0], "norm": _norm(state, "net.2", "net.3")}, first.shape[1]


def _patchgan(state: State) -> tuple[str, dict[str, Any], int] | None:
    layers = sum(1 for key in state if re.fullmatch(r"model\.\d+\.weight", key) and state[key].ndim == 4) - 2
    if layers < 1 or not all(_is_convolution(state, f"model.{i}.weight") for i in (0, 2, 3 * layers + 2)):
        return None
    first = state["model.0.weight"]
    values = {"ndf": first.shape[0], "norm": _norm(state, "model.2", "model.3")}
    if layers == 3:
        return "basic", values, first.shape[1]
    return "n_layers", {**values, "n_layers_D": layers}, first.shape[1]
