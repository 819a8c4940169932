"""What a classifier sees in an image: a quick check whether a translation is taken for the real thing."""

from __future__ import annotations

import pathlib
import threading

import numpy as np
import torch
from torch import nn

from data.value_range import ValueRange
from inference.server.comparison import picture
from inference.server.naming import likeliest
from models.networks.foreign import load_weights
from util.errors import UserError, did_you_mean
from util.weights import local_weights


class Classifier:
    """A timm model and its preprocessing.

    Args:
        name: as timm knows it, such as ``resnet50.a1_in1k``.
        weights: a file, as ``util.weights`` takes it; without one timm fetches the published weights.
        device: to compute on.
        names: a file of the classes' names, one a line; without one those of ImageNet, where there are 1000 classes.

    Raises:
        UserError: timm knows no such model, the weights are missing or do not fit, or there are not as many names.
    """

    def __init__(self, name: str, weights: str | None, device: torch.device, names: str | None = None) -> None:
        import timm

        if not timm.is_model(name):
            hint = did_you_mean(name, timm.list_models())
            raise UserError(f"--classifier {name}: timm has no such model{hint}")
        network = _from_file(name, local_weights(weights, "--classifier_weights")) if weights else _published(name)
        self.network, self.device = network.to(device).eval(), device
        config = timm.data.resolve_data_config({}, model=network)
        self._transform = timm.data.create_transform(**config, is_training=False)
        self._names = _read_names(pathlib.Path(names), network) if names else _class_names(network)
        self._lock = threading.Lock()

    @torch.no_grad()
    def __call__(self, values: np.ndarray, value_range: ValueRange | None = None, top: int = 3) -> dict[str, float]:
        """See ``Names``; the network gets the picture that a browser would be shown."""
        from PIL import Image

        pixels = self._transform(Image.fromarray(picture(values, value_range)))[None].to(self.device)
        with self._lock:
            probabilities = self.network(pixels).softmax(1)[0].cpu()
        names = self._names or [f"class {index}" for index in range(len(probabilities))]
        return likeliest(probabilities, names, top)


def _from_file(name: str, path: pathlib.Path) -> nn.Module:
    """Build the model with as many classes as the file's last layer has, and load it without running its code."""
    import timm

    if not path.is_file():
        raise UserError(f"--classifier_weights {path}: no such file")
    state = load_weights(path)
    config = timm.get_pretrained_cfg(name)
    head = f"{config.classifier if config else 'fc'}.weight"
    if head not in state:
        raise UserError(f"--classifier_weights {path}: no weights of timm's {name} (they hold {head})")
    network = timm.create_model(name, num_classes=len(state[head]))
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:160]
        raise UserError(f"--classifier_weights {path}: do not fit --classifier {name} ({reason})") from None
    return network


def _published(name: str) -> nn.Module:
    import timm

    try:
        return timm.create_model(name, pretrained=True)
    except Exception as error:  # the hub client raises many kinds
        reason = " ".join(str(error).split())[:160]
        raise UserError(
            f"--classifier {name}: its weights could not be fetched ({reason}); "
            "name a local file with --classifier_weights"
        ) from None


def _read_names(path: pathlib.Path, network: nn.Module) -> list[str]:
    try:
        names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"--classifier_names {path}: cannot be read ({error})") from None
    count = getattr(network, "num_classes", 0)
    if len(names) != count:
        raise UserError(f"--classifier_names {path}: {len(names)} names for {count} classes; write one a line")
    return names


def _class_names(network: nn.Module) -> list[str]:
    """Return timm's names of the 1000 ImageNet classes; nothing for other numbers of classes."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo()
    count = getattr(network, "num_classes", 0)
    return [info.index_to_description(index) for index in range(count)] if count == info.num_classes() else []
