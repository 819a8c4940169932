"""Every registered generator exports and agrees with the Predictor, or says why it cannot."""

from __future__ import annotations

import dataclasses
import pathlib
import re

import pytest
import torch
from torch import Tensor, nn

from inference.export.measure import LIMIT, compare, runner_of, trial_images
from inference.export.portable import Description, PortableModel, normalizes_each_image
from inference.export.writer import Writer
from inference.predictor import Predictor
from models.builder import Builder, Channels
from models.networks import GENERATORS
from models.test_model import OneSided, OneSidedOptions
from tests.models.networks import small as networks
from util.errors import UserError

pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")
SAME = {"edsr_large", "fsrcnn_s", "lama_big", "rdn"}  # the layers of edsr, fsrcnn, lama and rdtn
DEEP = {"aot_gan", "deepfillv2", "gin", "lama"}  # take seconds, whatever their width: one form is enough
NAMES = sorted({GENERATORS.canonical(name) for name in networks.BUILT} - SAME)
SMALL = {**networks.SMALL, "ngf": 8, "n_blocks": 1, "no_dropout": False, "init_gain": 0.1}


def make_predictor(name: str, **values: object) -> Predictor:
    """Return a small generator, 3 to 2 channels; where norms can use the image's own batch statistics, they do."""
    options, make = GENERATORS.options(name), GENERATORS.get(name)
    known = {field.name for field in dataclasses.fields(options)}
    if options().init_type == "published":
        values.setdefault("init_type", "kaiming")  # some are published with ones for which the output hardly varies
    chosen = options(**{key: value for key, value in (SMALL | values).items() if key in known})
    torch.manual_seed(0)
    model = OneSided(OneSidedOptions(), Builder({"netG": (make, chosen)}, Channels(3, 2)))
    for layer in model.modules():
        if isinstance(layer, nn.BatchNorm2d) and layer.running_mean is not None and layer.running_var is not None:
            layer.running_mean.uniform_(-0.1, 0.1)
            layer.running_var.uniform_(0.5, 2)
    return Predictor(model, torch.device("cpu"))


def make_writer(predictor: Predictor, folder: pathlib.Path) -> Writer:
    facts = Description("a test", 3, 2, "0 255", "0 255", predictor.scale, predictor.size_multiple)
    return Writer(predictor, facts, folder, "tiny", 18)


def images_for(predictor: Predictor) -> list[Tensor]:
    return [*trial_images(3, predictor.size_multiple, 24), torch.rand(1, 3, 9, 11)]


@pytest.mark.parametrize("name", NAMES)
def test_generator_exports_with_parity_or_says_why_not(name: str, tmp_path: pathlib.Path) -> None:
    norm = "batch" if name.startswith(("unet", "srresnet")) else "instance"
    values = {"init_type": "published"} if name in ("deepfillv2", "gin") else {}  # others vanish in them, or explode
    predictor = make_predictor(name, norm=norm, scale=2, **values)
    (network,) = predictor.networks
    if reason := getattr(network, "not_exportable", ""):
        with pytest.raises(UserError, match=re.escape(f"cannot be exported: {reason}")):
            make_writer(predictor, tmp_path).write("onnx", "fp32")
        return
    writer = make_writer(predictor, tmp_path)
    files = {form: writer.write(form, "fp32") for form in (("onnx",) if name in DEEP else ("onnx", "torch_export"))}
    images = images_for(predictor)
    expected = [runner_of(predictor)(image) for image in images]
    assert min(image.std() for image in expected) > 0.01, "an output that hardly varies would prove nothing"
    for form, path in files.items():
        run = writer.open(form, path)
        assert compare(expected, map(run, images))[0] <= LIMIT, form


def test_a_network_that_declares_a_reason_is_refused_with_it() -> None:
    predictor = make_predictor("resnet_6blocks")
    (network,) = predictor.model.networks().values()
    network.not_exportable = "it calls a sampler"  # type: ignore[assignment]
    with pytest.raises(UserError, match="ResnetGenerator cannot be exported: it calls a sampler"):
        PortableModel(predictor)


@pytest.mark.parametrize(
    ("norm", "test_norm", "own"),
    [
        *(("instance", "auto", True), ("batch", "running", False), ("batch", "batch", True)),
        *(("batch_untracked", "auto", True), ("none", "auto", False)),
    ],
)
def test_norms_keep_the_statistics_that_testing_uses(norm: str, test_norm: str, own: bool) -> None:
    one = make_predictor("resnet_6blocks", norm=norm)
    predictor = Predictor(one.model, torch.device("cpu"), test_norm=test_norm)
    model, image = PortableModel(predictor), torch.rand(1, 3, 18, 21)
    assert normalizes_each_image(predictor.model) == own
    torch.testing.assert_close(model(image), runner_of(predictor)(image), atol=LIMIT, rtol=0)
    pair = torch.cat([image, image * 0.2])
    torch.testing.assert_close(model(pair)[:1], model(image), atol=LIMIT, rtol=0)  # no image changes its neighbour


def test_half_precision_reaches_the_convolutions_but_not_the_norms() -> None:
    predictor = make_predictor("resnet_6blocks", norm="instance_affine")
    model = PortableModel(predictor, torch.float16)
    kinds = {type(layer).__name__: {t.dtype for t in layer.state_dict().values()} for layer in model.modules()}
    assert kinds["Conv2d"] == kinds["ConvTranspose2d"] == {torch.float16}
    assert kinds["FloatNorm"] == {torch.float32}
    image = torch.rand(1, 3, 18, 21)
    result = model(image)
    assert result.dtype == torch.float32
    assert compare([runner_of(predictor)(image)], [result])[1] > 50
    (network,) = predictor.model.networks().values()
    assert {p.dtype for p in network.parameters()} == {torch.float32}, "the run itself stays as it is"
