"""Engines give what the network gives, and auto, int8 and compile are settled by what they do to the first images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import a2b
from inference.engines import engines as engines_module
from inference.engines import settle as settle_module
from inference.engines.choice import Choice
from inference.engines.engines import Engines
from inference.engines.graph_engine import GraphEngine, check_backend
from inference.engines.torch_engine import TorchEngine
from inference.export.measure import compare
from inference.predictor import Predictor, use_image_statistics
from inference.settings import EngineOptions, InferenceOptions
from models.builder import Builder, Channels
from models.networks import GENERATORS
from models.test_model import OneSided, OneSidedOptions
from util.errors import UserError

CPU = torch.device("cpu")


def images(count: int = 1, size: int = 32, seed: int = 0) -> list[dict[str, Any]]:
    chance = torch.Generator().manual_seed(seed)
    return [{"A": torch.rand(1, 3, size, size, generator=chance) * 2 - 1} for _ in range(count)]


def model(name: str = "resnet_6blocks", **values: Any) -> OneSided:
    torch.manual_seed(0)
    chosen = GENERATORS.options(name)(ngf=4, init_gain=0.2, **values)
    one = OneSided(OneSidedOptions(), Builder({"netG": (GENERATORS.get(name), chosen)}, Channels(3, 3)))
    del one.generator.model[10:15]  # one block is enough, and is exported in a sixth of the time
    return one


def predictor(calibration: Any = None, options: InferenceOptions | None = None, **flags: Any) -> Predictor:
    engines = Engines(EngineOptions(**flags), CPU, calibration)
    return Predictor(model(no_dropout=True), CPU, options=options, engines=engines)


def psnr(expected: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    return compare([image * 0.5 for image in expected], [image * 0.5 for image in found])[1]


def network(norm: str) -> nn.Module:
    torch.manual_seed(0)
    net = a2b.build_generator("resnet_6blocks", ngf=4, norm=norm, init_gain=0.2, no_dropout=True).eval()
    del net.model[10:15]
    if norm == "batch":
        use_image_statistics(net)
    return net


@pytest.fixture
def units(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this machine have units for bf16, so that auto wants it."""
    for module in (settle_module, engines_module):
        monkeypatch.setattr(module, "fastest_precision", lambda device: ("bf16", "there are units"))
    monkeypatch.setattr(settle_module, "FLOOR", 25.0)  # untrained networks enlarge every error


@pytest.mark.parametrize("norm", ["instance", "batch"])
@torch.no_grad()
def test_bf16_weights_are_made_once_and_stay_close(norm: str) -> None:
    net, (image,) = network(norm), [batch["A"] for batch in images()]
    before = [p.clone() for p in net.parameters()]
    engine = TorchEngine(net, CPU, Choice("bf16"))
    assert next(engine.module.parameters()).dtype == torch.bfloat16
    result = engine(image)
    assert result.dtype == torch.float32 and 30 < psnr([net(image)], [result]) < 100
    assert all(torch.equal(*pair) for pair in zip(net.parameters(), before, strict=True)), "the network was changed"


class Stubborn(nn.Module):
    """A layer that takes float32 weights only."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(3, 3, 1)

    def forward(self, x: Tensor) -> Tensor:
        if x.dtype != torch.float32:
            raise RuntimeError("not in so few bits")
        return self.convolution(x)


@torch.no_grad()
def test_a_layer_that_takes_no_bf16_is_cast_layer_by_layer(capsys: pytest.CaptureFixture[str]) -> None:
    net, (batch,) = Stubborn(), images()
    engine = TorchEngine(net, CPU, Choice("bf16"))
    for _ in range(2):
        assert psnr([net(batch["A"])], [engine(batch["A"])]) > 30
    assert capsys.readouterr().err.count("not in so few bits") == 1


@pytest.mark.parametrize("backend", ["onnxruntime", "openvino"])
@torch.no_grad()
def test_another_library_agrees_at_any_size(backend: str) -> None:
    for package in ("onnxscript", "onnxruntime", backend):
        pytest.importorskip(package)
    net = network("batch")
    engine = GraphEngine(net, Choice(backend=backend))
    sizes = [images(1, size)[0]["A"] for size in (32, 40)]
    assert psnr([net(image) for image in sizes], [engine(image) for image in sizes]) > 90


def test_auto_measures_and_takes_bf16(units: None, capsys: pytest.CaptureFixture[str]) -> None:
    one = predictor()
    exact = Predictor(copy.deepcopy(one.model), CPU)
    batches = images(2)
    one.settle(batches[:1], count=20)
    assert one.engines is not None and one.engines.choice is not None
    assert one.engines.choice.precision == "bf16" and one.engines.choice.psnr is not None
    assert f"{one.engines.choice.psnr:.1f} dB from fp32" in capsys.readouterr().err
    expected, found = (p(batches[0])[one.model.result] for p in (exact, one))
    assert psnr([expected], [found]) == pytest.approx(one.engines.choice.psnr, abs=0.01)
    assert torch.equal(found, one(batches[0])[one.model.result])


def test_auto_stays_exact_where_bf16_is_too_far_off(
    units: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settle_module, "FLOOR", 500.0)
    one, (batch,) = predictor(), images()
    one.settle([batch], count=20)
    assert "below 500" in capsys.readouterr().err
    assert torch.equal(one(batch)[one.model.result], Predictor(one.models, CPU)(batch)[one.model.result])


def test_a_short_job_is_not_measured(units: None, capsys: pytest.CaptureFixture[str]) -> None:
    one = predictor()
    one.settle(images(), count=2)
    assert one.engines is not None and one.engines.choice is not None
    assert one.engines.choice.plain and "not worth measuring" in capsys.readouterr().err


def test_nobody_settled_so_the_first_image_does(units: None) -> None:
    one, (batch,) = predictor(), images()
    one(batch)
    assert one.engines is not None and one.engines.choice is not None and one.engines.choice.precision == "bf16"


def test_tiles_of_independent_networks_go_through_the_engine() -> None:
    norms = {"norm": "batch", "no_dropout": True}
    whole, tiled = (
        Predictor(model(**norms), CPU, options=options, engines=Engines(EngineOptions("bf16"), CPU))
        for options in (InferenceOptions(), InferenceOptions(tile_size=64))
    )
    (batch,) = images(size=192)
    expected, found = (p(batch)[p.model.result] for p in (whole, tiled))
    assert psnr([expected], [found]) > 30
    exact = Predictor(model(**norms), CPU)(batch)["fake"]
    assert not torch.equal(found, exact), "the tiles were computed in fp32"


@pytest.mark.parametrize("count, compiles", [(12, False), (10**9, True), (None, False)])
def test_compiling_pays_only_for_many_images(count: int | None, compiles: bool, capsys: Any) -> None:
    one = predictor(precision="fp32", compile="auto")
    one.settle(images(), count=count)
    assert one.engines is not None and one.engines.choice is not None
    assert one.engines.choice.compile == ("default" if compiles else "off")
    said = capsys.readouterr().err
    assert "pays from" in said and ("not done" in said) != compiles


def test_int8_is_judged_on_images_it_was_not_calibrated_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    known, (other,) = images(3, seed=1), images(1, seed=2)
    one = predictor(lambda: known, precision="int8", backend="onnxruntime")
    with pytest.raises(UserError, match="judged on images it is calibrated on"):
        one.settle(known[:2])
    monkeypatch.setattr(settle_module, "INT8_FLOOR", 500.0)
    with pytest.raises(UserError, match=r"int8: \d+\.\d dB PSNR against fp32 on 1 other image\(s\) is below 500"):
        one.settle([known[0], other])
    assert one.engines is not None and one.engines.choice is None, "what was refused must not be used"
    monkeypatch.setattr(settle_module, "INT8_FLOOR", 5.0)
    one.settle([other])
    assert one.engines.choice is not None and one.engines.choice.precision == "int8"
    exact = Predictor(copy.deepcopy(one.model), CPU)
    found, expected = (p(other)[one.model.result] for p in (one, exact))
    assert psnr([expected], [found]) == pytest.approx(one.engines.choice.psnr, abs=0.01)


def test_mistakes_name_the_flag() -> None:
    for options, device, said in (
        (EngineOptions(precision="int8"), "cpu", "--backend openvino"),
        (EngineOptions(precision="fp16"), "cpu", "--precision fp16 needs a GPU"),
        (EngineOptions(precision="bf16", backend="onnxruntime"), "cpu", "onnxruntime has no bf16"),
    ):
        with pytest.raises(UserError, match=said):
            Engines(options, torch.device(device))
    with pytest.raises(UserError, match="--precision int8 is for runs of one generator"):
        pytest.importorskip("onnxscript")
        predictor(precision="int8", backend="onnxruntime").settle(images())


def test_a_missing_library_is_named_with_its_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match="openvino.*pip install -r requirements-fast.txt"):
        check_backend(Choice(backend="openvino"), CPU)


def test_dropout_keeps_the_layers_of_torch() -> None:
    with pytest.raises(UserError, match="--mc_dropout needs --backend torch"):
        engines = Engines(EngineOptions(compile="default"), CPU)
        Predictor(model(), CPU, options=InferenceOptions(mc_dropout=2), engines=engines)
