"""What a job hands out when it has ended."""

from __future__ import annotations

import pathlib
import zipfile

from data.readers import ImageInfo
from inference.server.jobs import Job
from inference.server.refusal import Refused
from inference.server.uploads import Upload


def test_the_zip_holds_what_lies_beside_a_result_under_the_names_of_the_images(tmp_path: pathlib.Path) -> None:
    job = Job("run", "me", tmp_path)
    info = ImageInfo(8, 8, 3, "uint8")
    job.add([Upload(tmp_path / f"{n:06}.in", name, "jpeg", info) for n, name in enumerate(("a.jpg", "b.jpg", "c.jpg"))])
    for task in job.tasks:
        task.upload.path.touch()
    for number in (0, 1):
        (tmp_path / f"{number:06}.png").write_text(f"result {number}")
    (tmp_path / "000001_uncertainty.png").write_text("uncertainty 1")
    job.settle(job.tasks[0], tmp_path / "000000.png")
    job.settle(job.tasks[1], tmp_path / "000001.png")
    job.settle(job.tasks[2], None, Refused(422, "c.jpg: damaged"))
    with zipfile.ZipFile(job.write_zip()) as archive:
        assert archive.namelist() == ["0001_a.png", "0002_b.png", "0002_b_uncertainty.png", "status.json"]
        assert archive.read("0002_b_uncertainty.png") == b"uncertainty 1"
