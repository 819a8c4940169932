"""train.py under torchrun: the same run as on one process, also when a process dies on the way."""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from data.writers import write_image
from training.checkpoint import load_state

Words = Callable[[str], list[str]]
ROOT = pathlib.Path(__file__).resolve().parents[2]
DIES = """
import faulthandler, os, signal, sys
import training.trainer as trainer
faulthandler.dump_traceback_later(150)  # tells where it waits, should it not end
plain = trainer.Trainer._step
def step(self, batch, waited):
    first_life = os.environ["TORCHELASTIC_RESTART_COUNT"] == "0"
    if first_life and os.environ["RANK"] == "1" and self.position.step == 4:
        os.kill(os.getpid(), signal.SIGKILL)
    plain(self, batch, waited)
trainer.Trainer._step = step
sys.argv[0] = "train.py"
exec(compile(open("train.py").read(), "train.py", "exec"))
"""


def torchrun(count: int, words: list[str], *, restarts: int = 0) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(count)]
    command = [*launcher, "--max-restarts", str(restarts), *words]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    try:
        return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    except subprocess.TimeoutExpired as late:
        parts = [(part or b"").decode(errors="replace")[-6000:] for part in (late.stdout, late.stderr)]
        raise AssertionError("\n".join(["not done after 300 seconds:", *parts])) from None


def weights(folder: pathlib.Path) -> torch.Tensor:
    files = sorted(folder.glob("latest_net_*.pth"))
    assert files, f"no weights in {folder}"
    loaded = [torch.load(path, weights_only=True) for path in files]
    return torch.cat([value.flatten() for state in loaded for key, value in state.items() if key.endswith("weight")])


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, aligned: pathlib.Path, tiny: list[str]) -> Words:
    """Return the flags of a training of 6 steps in 2 epochs, validated and saved after each."""
    folder = tmp_path_factory.mktemp("runs")
    flags = ["--model", "pix2pix", "--norm", "batch", "--batch_size", "2", "--n_epochs", "1", "--n_epochs_decay", "1"]
    flags += ["--save_epoch_freq", "1", "--dataroot", str(aligned), *tiny]

    def build(name: str) -> list[str]:
        return [*flags, "--checkpoints_dir", str(folder), "--name", name]

    return build


@pytest.fixture(scope="module")
def alone(words: Words) -> torch.Tensor:
    """Return the weights of the training on one process."""
    from commands.training import TrainingSession
    from options.train_options import TrainOptions

    torch.set_num_threads(1)
    session = TrainingSession(TrainOptions().parse(words("alone")))
    assert session.run() == 0
    return weights(session.folder)


def folder_of(arguments: list[str]) -> pathlib.Path:
    return pathlib.Path(arguments[arguments.index("--checkpoints_dir") + 1]) / arguments[-1]


def test_two_processes_write_the_run_of_one(words: Words, alone: torch.Tensor) -> None:
    arguments = words("two")
    done = torchrun(2, ["train.py", *arguments])
    assert done.returncode == 0, done.stderr[-2000:]
    folder = folder_of(arguments)
    assert torch.allclose(weights(folder), alone, atol=1e-4)
    assert done.stdout.count("training images in") == 1 and "on 2 processes" in done.stdout
    log = [line for line in (folder / "loss_log.txt").read_text().splitlines() if line.startswith("(")]
    assert len(log) == 6, "one line a step, from one process"


def test_a_killed_process_is_started_again_and_the_run_goes_on(
    words: Words, alone: torch.Tensor, tmp_path: pathlib.Path
) -> None:
    arguments, script = words("killed"), tmp_path / "dies.py"
    script.write_text(DIES)
    done = torchrun(2, [str(script), *arguments], restarts=1)
    assert done.returncode == 0, done.stderr[-2000:]
    assert torch.allclose(weights(folder_of(arguments)), alone, atol=1e-4)


def test_a_file_that_one_process_cannot_read_ends_all_of_them_saved(
    words: Words, aligned: pathlib.Path, tmp_path: pathlib.Path
) -> None:
    data = shutil.copytree(aligned, tmp_path / "data")
    shutil.copy(data / "train" / "04.png", data / "train" / "06.png")
    (data / "train" / "07.png").write_bytes((data / "train" / "05.png").read_bytes()[:-40])
    arguments = words("damaged")
    arguments[arguments.index("--dataroot") + 1] = str(data)
    done = torchrun(2, ["train.py", *arguments[:-2], "--serial_batches", *arguments[-2:]])
    assert done.returncode != 0 and "error: " in done.stderr and "07.png: not a readable image" in done.stderr
    assert "Connection closed by peer" not in done.stderr, "both end by themselves"
    assert load_state(folder_of(arguments))["position"] == (1, 6, 3, 6)


def test_testing_is_shared_and_one_page_shows_all(words: Words, alone: torch.Tensor, tmp_path: pathlib.Path) -> None:
    arguments = words("alone")
    place = arguments[arguments.index("--checkpoints_dir") : arguments.index("--name")]
    data = arguments[arguments.index("--dataroot") : arguments.index("--dataroot") + 2]
    command = ["test.py", "--name", "alone", *place, *data, "--gpu_ids", "-1", "--phase", "train"]
    plain = subprocess.run([sys.executable, *command, "--results_dir", str(tmp_path / "1")], cwd=ROOT, timeout=300)
    done = torchrun(2, [*command, "--results_dir", str(tmp_path / "2")])
    assert (plain.returncode, done.returncode) == (0, 0), done.stderr[-2000:]
    one, two = (next((tmp_path / run).glob("alone/*")) for run in "12")
    assert (one / "metrics.json").read_text() == (two / "metrics.json").read_text()
    assert (one / "metrics.csv").read_text() == (two / "metrics.csv").read_text(), "rows are in the same order"
    pictures = sorted(path.name for path in (one / "images").iterdir())
    assert len(pictures) == 18
    for name in pictures:
        assert (two / "images" / name).read_bytes() == (one / "images" / name).read_bytes()
    assert (two / "index.html").read_text().count("_fake_B") == (one / "index.html").read_text().count("_fake_B")


def test_the_files_of_a_folder_are_shared(words: Words, alone: torch.Tensor, tmp_path: pathlib.Path) -> None:
    arguments = words("alone")
    place = arguments[arguments.index("--checkpoints_dir") : arguments.index("--name")]
    for number in range(5):
        values = np.random.default_rng(number).integers(0, 256, (32, 32, 3), np.uint8)
        write_image(tmp_path / "in" / f"{number}.png", values)
    (tmp_path / "in" / "9.png").write_bytes(b"no image")
    command = ["test.py", "--name", "alone", *place, "--gpu_ids", "-1", "--input", str(tmp_path / "in"), "--output"]
    plain = subprocess.run([sys.executable, *command, str(tmp_path / "1")], cwd=ROOT, timeout=300)
    done = torchrun(2, [*command, str(tmp_path / "2")])
    assert plain.returncode == 1 and done.returncode != 0
    assert done.stdout.count("5 of 6 files translated, 1 failed") == 1, done.stdout + done.stderr[-2000:]
    assert done.stderr.count("failed: ") == 1 and "9.png" in done.stderr
    for number in range(5):
        assert (tmp_path / "2" / f"{number}.png").read_bytes() == (tmp_path / "1" / f"{number}.png").read_bytes()


def test_all_folds_are_trained_one_after_the_other(tmp_path: pathlib.Path, tiny: list[str]) -> None:
    for folder, number in itertools.product(("input", "target"), range(4)):
        write_image(tmp_path / f"data/{folder}/{number}.png", np.full((32, 32, 3), 40 * number, np.uint8))
    data = ["--dataroot", str(tmp_path / "data"), "--dir_A", "input", "--dir_B", "target", "--folds", "2"]
    place = ["--checkpoints_dir", str(tmp_path / "runs"), "--name", "cv", "--max_steps", "1", "--batch_size", "2"]
    done = torchrun(2, ["train.py", "--model", "template", *data, "--fold", "all", *place, *tiny])
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("2 training images in") == 2, "the first process alone talks, once a fold"
    assert [load_state(tmp_path / f"runs/cv_fold{n}")["position"][2] for n in (1, 2)] == [1, 1]


def ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, timeout=20)


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """Return two network namespaces that reach each other at 10.78.0.1 and 10.78.0.2."""
    if shutil.which("ip") is None or os.name != "posix" or os.geteuid() != 0:
        pytest.skip("network namespaces need Linux, iproute2 and root")
    names = f"a2b-{os.getpid()}-1", f"a2b-{os.getpid()}-2"
    links = f"v{os.getpid()}a", f"v{os.getpid()}b"
    try:
        for name in names:
            ip("netns", "add", name)
        ip("link", "add", links[0], "type", "veth", "peer", "name", links[1])
        for number, (name, link) in enumerate(zip(names, links, strict=True), 1):
            ip("link", "set", link, "netns", name)
            ip("-n", name, "address", "add", f"10.78.0.{number}/24", "dev", link)
            ip("-n", name, "link", "set", link, "up")
            ip("-n", name, "link", "set", "lo", "up")
    except subprocess.CalledProcessError as error:
        _remove(names)
        pytest.skip(f"network namespaces are not allowed here: {error.stderr.decode().strip()}")
    yield names
    _remove(names)


def _remove(names: tuple[str, str]) -> None:
    for name in names:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, timeout=20)


def test_two_machines_train_one_model(machines: tuple[str, str], words: Words, alone: torch.Tensor) -> None:
    """Two hosts with addresses of their own and a shared disk, one process each."""
    arguments, running = words("machines"), []
    for number, machine in enumerate(machines):
        launcher = [sys.executable, "-m", "torch.distributed.run", "--nnodes", "2", "--node_rank", str(number)]
        launcher += ["--nproc_per_node", "1", "--master_addr", "10.78.0.1", "--master_port", "29517"]
        command = ["ip", "netns", "exec", machine, *launcher, "train.py", *arguments]
        environment = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": f"v{os.getpid()}{'ab'[number]}"}
        running.append(subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True))
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0, 0], "\n".join(errors)[-3000:]
    assert torch.allclose(weights(folder_of(arguments)), alone, atol=1e-4)
