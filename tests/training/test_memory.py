"""What a training needs, told before it begins, against what it takes."""

from __future__ import annotations

import json
import pathlib
import subprocess
import sys

import pytest
import torch
from torch import nn

from training.memory import MemoryNeed, Saved, out_of_memory

ROOT = pathlib.Path(__file__).resolve().parents[2]
MEASURE = """
import json, resource, sys, threading, time
import psutil, torch
from commands.build import build_model
from options.train_options import TrainOptions
from training.memory_need import memory_need
from training.settings import OptimizerOptions, StepOptions
from training.update import Updater
from util.device import Compute

torch.set_num_threads(1)
images, words = int(sys.argv[1]), sys.argv[2:]
options = TrainOptions().parse(["--dataroot", ".", "--gpu_ids", "-1", *words])
model = build_model(options, train=True)
step_options = StepOptions(checkpoint_activations=options.values["checkpoint_activations"])
updater = Updater(model, OptimizerOptions(), step_options, 0, Compute(torch.device("cpu")))
batch = {side: torch.rand(images, 3, 128, 128) for side in "AB"}
need = memory_need(updater, batch)
peak, done = [0], threading.Event()
def watch():
    while not done.is_set():
        peak[0] = max(peak[0], psutil.Process().memory_info().rss)
        time.sleep(0.002)
thread = threading.Thread(target=watch)
thread.start()
for step in range(2):
    updater.step(batch, step)
done.set()
thread.join()
print(json.dumps({"predicted": need.total(images), "measured": peak[0], "fixed": need.fixed, "image": need.per_image}))
"""


def measure(images: int, *words: str) -> dict[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(images), *words], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "words",
    [
        ["--model", "cycle_gan", "--netG", "resnet_6blocks", "--ngf", "24", "--ndf", "24"],
        ["--model", "pix2pix", "--netG", "unet_128", "--ngf", "32", "--ndf", "48"],
    ],
    ids=["cycle_gan", "pix2pix"],
)
def test_the_estimate_is_near_what_a_training_takes(words: list[str]) -> None:
    found = measure(4, *words)
    assert found["predicted"] == pytest.approx(found["measured"], rel=0.2), found
    ours, real = (found[name] - found["fixed"] for name in ("predicted", "measured"))
    assert 0.5 < ours / real < 1.6, found


def test_recomputing_saves_memory() -> None:
    words = ["--model", "cycle_gan", "--netG", "resnet_6blocks", "--ngf", "24", "--ndf", "4"]
    kept, recomputed = measure(2, *words), measure(2, *words, "--checkpoint_activations")
    assert recomputed["measured"] - recomputed["fixed"] < 0.75 * (kept["measured"] - kept["fixed"])


def test_each_storage_counts_once_and_weights_not_at_all() -> None:
    layer = nn.Linear(10, 10, bias=False)
    x = torch.rand(7, 10)
    with Saved(layer.parameters()) as saved:
        (layer(x) * layer(x)).sum()
    assert saved.bytes == 3 * 7 * 10 * 4, "the input once, and two products"


def test_the_largest_batch_is_a_power_of_two_that_fits() -> None:
    need = MemoryNeed(fixed=100, gradients=20, per_batch=10, per_image=40)
    assert need.total(1) == 180
    assert need.largest_batch(room=380, most=64) == 4, "130 + 50 an image: 330 for 4, 530 for 8"
    assert need.largest_batch(room=10**6, most=5) == 4
    assert need.largest_batch(room=1, most=64) == 1


def test_lack_of_memory_is_recognised() -> None:
    assert out_of_memory(torch.OutOfMemoryError("CUDA out of memory"))
    assert not out_of_memory(RuntimeError("shapes do not fit"))
    with pytest.raises(RuntimeError) as error:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert out_of_memory(error.value)
