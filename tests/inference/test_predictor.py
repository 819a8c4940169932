"""The Predictor: any size, repeatable, without dropout, with the batch norm statistics that were asked for."""

from __future__ import annotations

import copy
import itertools
from typing import Any

import pytest
import torch
from torch import nn

from commands.build import build_model
from inference.predictor import Predictor
from inference.settings import InferenceOptions
from models.base import TranslationModel
from options.train_options import TrainOptions
from util.errors import UserError

CPU = torch.device("cpu")


def make(*words: str) -> TranslationModel:
    """Return a model whose batch norm statistics are those of some training images."""
    common = ["--dataroot", ".", "--ngf", "4", "--init_gain", "0.3", "--netG", "resnet_6blocks"]
    model = build_model(TrainOptions().parse([*common, *words]), train=False)
    with torch.no_grad():
        for _ in range(3):
            model(batch(128, 128, size=2))
    return model


def batch(height: int, width: int, size: int = 1, sides: str = "AB") -> dict[str, Any]:
    random = torch.Generator().manual_seed(height * width)
    return {side: torch.rand(size, 3, height, width, generator=random) * 2 - 1 for side in sides}


@pytest.mark.parametrize("shape", [(32, 32), (33, 47), (31, 64), (7, 5), (4, 4), (1, 1), (3, 200)])
@pytest.mark.parametrize("model", ["template", "cycle_gan", "pix2pix"])
def test_any_size_comes_back_in_that_size(model: str, shape: tuple[int, int]) -> None:
    images = Predictor(make("--model", model), CPU)(batch(*shape))
    assert {image.shape for image in images.values()} == {(1, 3, *shape)}
    assert all(torch.isfinite(image).all() and image.abs().max() <= 1 for image in images.values())


def test_a_small_image_comes_through_the_u_net() -> None:
    model = make("--model", "pix2pix", "--netG", "unet_128", "--ngf", "2")
    images = Predictor(model, CPU)(batch(40, 150))
    assert images["fake_B"].shape == (1, 3, 40, 150)


def test_inputs_come_back_unchanged() -> None:
    data = batch(33, 47)
    images = Predictor(make("--model", "cycle_gan"), CPU)(data)
    assert torch.equal(images["real_A"], data["A"])
    assert torch.equal(images["real_B"], data["B"])


def test_the_two_domains_may_have_different_sizes() -> None:
    data = {"A": batch(33, 47)["A"], "B": batch(20, 10)["B"]}
    images = Predictor(make("--model", "cycle_gan"), CPU)(data)
    sizes = {label: tuple(image.shape[2:]) for label, image in images.items()}
    assert {sizes[label] for label in ("real_A", "fake_B", "rec_A")} == {(33, 47)}
    assert {sizes[label] for label in ("real_B", "fake_A", "rec_B")} == {(20, 10)}


def test_a_size_that_fits_goes_through_the_network_as_it_is() -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(32, 36)
    expected = copy.deepcopy(model).eval()(data)["fake_B"].detach()
    assert torch.equal(Predictor(model, CPU)(data)["fake_B"], expected)


def test_an_odd_size_is_the_network_on_the_image_mirrored_below_and_to_the_right() -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(30, 29, sides="A")
    padded = nn.functional.pad(data["A"], (0, 3, 0, 2), mode="reflect")
    expected = copy.deepcopy(model).eval()({"A": padded})["fake_B"].detach()[..., :30, :29]
    assert torch.equal(Predictor(model, CPU)(data)["fake_B"], expected)


@pytest.mark.parametrize("words", [["--norm", "batch"], ["--norm", "instance"], ["--netG", "unet_128", "--ngf", "2"]])
def test_the_same_image_gives_the_same_result_whatever_came_before(words: list[str]) -> None:
    predictor = Predictor(make("--model", "pix2pix", "--no_dropout", "false", *words), CPU)
    data = batch(32, 40)
    torch.manual_seed(1)
    first = predictor(data)["fake_B"]
    predictor(batch(64, 64))
    torch.manual_seed(2)
    assert torch.equal(predictor(data)["fake_B"], first)


def test_prediction_leaves_the_model_as_it_is() -> None:
    for mode in ("auto", "batch", "running"):
        model = make("--model", "template", "--norm", "batch")
        before = copy.deepcopy(model.state_dict())
        predictor = Predictor(model, CPU, test_norm=mode)
        images = predictor(batch(64, 64))
        assert not images["fake_B"].requires_grad
        running = {k: v for k, v in model.state_dict().items() if not k.endswith("num_batches_tracked")}
        assert all(torch.equal(value, before[key]) for key, value in running.items())


def fake(model: TranslationModel, mode: str, data: dict[str, Any]) -> torch.Tensor:
    return Predictor(copy.deepcopy(model), CPU, test_norm=mode)(data)["fake_B"]


def test_batch_norm_by_the_images_own_statistics_or_the_trainings() -> None:
    model, data = make("--model", "template", "--norm", "batch", "--no_dropout"), batch(32, 32)
    training, evaluating = (copy.deepcopy(model).train(on) for on in (True, False))
    with torch.no_grad():
        assert torch.equal(fake(model, "batch", data), training(data)["fake_B"])
        assert torch.equal(fake(model, "running", data), evaluating(data)["fake_B"])
    assert not torch.equal(fake(model, "batch", data), fake(model, "running", data))


@pytest.mark.parametrize(("network", "meaning"), [("resnet_6blocks", "running"), ("unet_128", "batch")])
def test_auto_takes_the_images_own_statistics_for_u_nets(network: str, meaning: str) -> None:
    model = make("--model", "template", "--netG", network, "--norm", "batch", "--no_dropout", "--ngf", "2")
    data = batch(128, 128)
    assert torch.equal(fake(model, "auto", data), fake(model, meaning, data))


def test_in_a_batch_each_image_is_judged_alone() -> None:
    model, data = make("--model", "template", "--norm", "batch"), batch(32, 32, size=3)
    together = fake(model, "batch", data)
    for index in range(3):
        alone = fake(model, "batch", {key: value[index : index + 1] for key, value in data.items()})
        assert torch.equal(together[index : index + 1], alone)


def test_bf16_stays_close_and_comes_back_as_float32() -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(32, 32)
    exact = Predictor(copy.deepcopy(model), CPU)(data)["fake_B"]
    fast = Predictor(model, CPU, precision="bf16")(data)["fake_B"]
    assert fast.dtype == torch.float32
    assert (fast - exact).abs().mean() < 0.05


def test_large_images_go_through_in_tiles_without_a_change() -> None:
    model = make("--model", "cycle_gan", "--norm", "instance")
    data = batch(70, 90)
    whole = Predictor(copy.deepcopy(model), CPU)(data)
    tiled = Predictor(model, CPU, options=InferenceOptions(tile_size=32, tile_scratch="fp32"))(data)
    assert list(tiled) == list(whole)
    for label, image in whole.items():
        assert (tiled[label] - image).abs().max() * 127.5 < 0.01
    assert "forward" not in vars(model.G_A), "the networks are as before"


def test_outputs_have_the_size_of_the_input_they_start_from() -> None:
    data = batch(33, 47, sides="A") | batch(50, 40, sides="B")
    images = Predictor(make("--model", "cycle_gan"), CPU)(data)
    assert {label: tuple(image.shape[2:]) for label, image in images.items()} == {
        **dict.fromkeys(("real_A", "fake_B", "rec_A"), (33, 47)),
        **dict.fromkeys(("real_B", "fake_A", "rec_B"), (50, 40)),
    }


def test_x8_is_the_mean_of_the_eight_turned_versions() -> None:
    model, data = make("--model", "template"), batch(32, 48, sides="A")
    plain, x8 = Predictor(copy.deepcopy(model), CPU), Predictor(model, CPU, options=InferenceOptions(tta="x8"))
    results = []
    for quarters, mirrored in itertools.product(range(4), (False, True)):
        turned = data["A"].rot90(quarters, (2, 3))
        result = plain({"A": turned.flip(3) if mirrored else turned})["fake_B"]
        results.append((result.flip(3) if mirrored else result).rot90(-quarters, (2, 3)))
    assert torch.allclose(x8(data)["fake_B"], torch.stack(results).mean(0), atol=1e-6)
    assert torch.equal(x8(data)["real_A"], data["A"]), "an average of equal images is exact"


def test_several_models_give_their_mean() -> None:
    models, data = [make("--model", "template", "--seed", str(seed)) for seed in (1, 2, 3)], batch(32, 32)
    single = [Predictor(copy.deepcopy(model), CPU)(data)["fake_B"] for model in models]
    assert torch.allclose(Predictor(models, CPU)(data)["fake_B"], torch.stack(single).mean(0), atol=1e-6)
    assert not torch.allclose(single[0], single[1], atol=1e-3)


def test_dropout_is_on_only_when_asked_for_and_repeatable() -> None:
    model, data = make("--model", "pix2pix", "--no_dropout", "false"), batch(32, 32)
    predictor = Predictor(model, CPU, options=InferenceOptions(mc_dropout=8))
    first, second = predictor(data), predictor(data)
    plain = Predictor(copy.deepcopy(model), CPU)(data)
    assert torch.equal(first["fake_B"], second["fake_B"]) and torch.equal(first["uncertainty"], second["uncertainty"])
    assert torch.equal(first["real_A"], plain["real_A"])
    assert first["uncertainty"].max() > -1 and not torch.equal(first["fake_B"], plain["fake_B"])
    assert "uncertainty" not in plain
    with pytest.raises(UserError, match="tiles would drop differently"):
        Predictor(model, CPU, options=InferenceOptions(mc_dropout=2, tile_size=16))(data)


def test_a_network_that_cannot_be_cut_is_refused_with_what_it_needs() -> None:
    model = make("--model", "template", "--norm", "instance")
    options = InferenceOptions(max_memory="1KB")
    with pytest.raises(UserError, match=r"smallest tile of ResnetGenerator needs about .* MB"):
        Predictor(model, CPU, options=options)(batch(64, 64))
    model.G = nn.Sequential(model.G)  # says nothing of tiles
    with pytest.raises(UserError, match="64x64 pixels need about .* MB of memory.* cannot be cut into tiles"):
        Predictor(model, CPU, options=options)(batch(64, 64))


def test_a_preview_says_so_and_is_near(capsys: pytest.CaptureFixture[str]) -> None:
    model, data = make("--model", "template", "--norm", "instance"), batch(64, 96)
    whole = Predictor(copy.deepcopy(model), CPU)(data)["fake_B"]
    capsys.readouterr()
    preview = Predictor(model, CPU, options=InferenceOptions(tile_size=32, tile_stats="thumbnail"))(data)["fake_B"]
    assert "PREVIEW" in capsys.readouterr().err
    assert (preview - whole).abs().mean() < 1e-4, "a thumbnail of a small image is the image"


def test_memory_that_runs_out_for_good_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make("--model", "template", "--norm", "batch")

    def full(*_: object) -> torch.Tensor:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr(torch.nn.functional, "conv2d", full)
    monkeypatch.setattr("inference.tiling.runner.bytes_per_pixel", lambda *_: 1.0)
    with pytest.raises(UserError, match="out of memory, however small the tiles"):
        Predictor(model, CPU)(batch(32, 32))
