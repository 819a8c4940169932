"""``prepare.py audit``: a table of what a data set holds, and every reason not to train on it yet."""

from __future__ import annotations

import argparse
import collections
import contextlib
import hashlib
import pathlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from data.folds import group_of
from data.listing import images_in
from data.readers import read_image
from data.tools.alignment import common_shift, shift_of
from data.tools.folders import existing_folder
from data.tools.likeness import near_pairs, perceptual_hash
from data.value_range import spread
from util.errors import UserError

if TYPE_CHECKING:  # it imports torch, and --help shall not wait for that
    from data.pairs import Pair

_PHASE = re.compile(r"^(train|val|test)(?=$|[A-Z])")
_SHOWN = 20
_COMPARED = 200  # pairs whose edges are compared
_CERTAIN, _FAR = 25.0, 4.0  # clarity, and pixels, from which a single pair is worth a look


@dataclass(frozen=True)
class FileFacts:
    """What one file holds; ``digest`` identifies its pixels, ``look`` what they look like."""

    path: pathlib.Path
    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    digest: bytes
    look: np.ndarray = field(compare=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the flags."""
    parser.add_argument("--dataroot", required=True, help="folder of the data set")
    parser.add_argument("--dir_A", help="folder of A in each phase; with --dir_B its partners are checked too")
    parser.add_argument("--dir_B", help="folder of B in each phase")


def run(args: argparse.Namespace) -> int:
    """Print the table and the problems; return 1 when there are any."""
    root = existing_folder("--dataroot", args.dataroot)
    if (args.dir_A is None) != (args.dir_B is None):
        raise UserError("--dir_A and --dir_B name the two folders together; give both")
    folders, problems = inspect(root)
    problems += _mixed(folders, root) + _leaks(folders, root)
    pairs = _halves(folders, root)
    if args.dir_A:
        lines, pairs = _matched(folders, root, args.dir_A, args.dir_B)
        problems += lines
    alike, notes = _alike(folders, root)
    shifted, remarks = _shifts(spread(pairs, _COMPARED))
    problems += alike + shifted
    _print_table(folders, root)
    for note in [*notes, *remarks]:
        print(f"note: {note}")
    for problem in problems[:_SHOWN]:
        print(f"problem: {problem}")
    if len(problems) > _SHOWN:
        print(f"... and {len(problems) - _SHOWN} more")
    print(f"{len(problems)} problem(s)" if problems else "no problems found")
    return 1 if problems else 0


def inspect(root: pathlib.Path) -> tuple[dict[pathlib.Path, list[FileFacts]], list[str]]:
    """Read every image below ``root``; return the facts by folder, and what is wrong with single files."""
    folders: dict[pathlib.Path, list[FileFacts]] = collections.defaultdict(list)
    problems = []
    for path in images_in(root, "images to audit"):
        try:
            facts = _facts(path)
        except UserError as error:
            problems.append(str(error))
            continue
        folders[path.parent].append(facts)
        if not facts.low < facts.high:
            problems.append(f"{path}: constant ({facts.low:g} everywhere)")
    return dict(folders), problems


def _facts(path: pathlib.Path) -> FileFacts:
    image = read_image(path)
    finite = image[np.isfinite(image)] if image.dtype.kind == "f" else image
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (float("nan"), float("nan"))
    header = f"{image.shape}{image.dtype}".encode()
    digest = hashlib.blake2b(header + image.tobytes()).digest()
    return FileFacts(path, image.shape, image.dtype.name, low, high, digest, perceptual_hash(image))


def _mixed(folders: dict[pathlib.Path, list[FileFacts]], root: pathlib.Path) -> list[str]:
    """One number type and channel count per folder; sizes may differ."""
    found = []
    for folder, files in folders.items():
        kinds = collections.Counter((f.dtype, f.shape[2]) for f in files)
        if len(kinds) > 1:
            listing = ", ".join(f"{n} x {dtype} {channels} channel(s)" for (dtype, channels), n in kinds.most_common())
            found.append(f"{folder.relative_to(root)}: mixed files: {listing}")
    return found


def _phase_and_domain(folder: pathlib.Path, root: pathlib.Path) -> tuple[str, str]:
    """Split ``train/sem``, ``sem/train`` or ``trainA`` into its phase and what remains; the phase may be ''."""
    parts, phase = [], ""
    for part in folder.relative_to(root).parts:
        found = None if phase else _PHASE.match(part)
        phase = found[0] if found else phase
        parts.append(part[found.end() :] if found else part)
    return phase, "/".join(part for part in parts if part)


def _leaks(folders: dict[pathlib.Path, list[FileFacts]], root: pathlib.Path) -> list[str]:
    """Return images of one domain that lie, pixel for pixel, in two phases."""
    seen: dict[tuple[str, bytes], tuple[str, pathlib.Path]] = {}
    found = []
    for folder, files in folders.items():
        phase, domain = _phase_and_domain(folder, root)
        for facts in files:
            other_phase, other = seen.setdefault((domain, facts.digest), (phase, facts.path))
            if other_phase != phase:
                found.append(f"{facts.path}: the same image as {other} in {other_phase or 'no phase'}")
    return found


def _alike(folders: dict[pathlib.Path, list[FileFacts]], root: pathlib.Path) -> tuple[list[str], list[str]]:
    """Return images that look like one of another phase in the same domain, and how many do within a phase."""
    domains: dict[str, list[tuple[str, FileFacts]]] = collections.defaultdict(list)
    for folder, files in folders.items():
        phase, domain = _phase_and_domain(folder, root)
        domains[domain] += [(phase, facts) for facts in files]
    problems, within = [], set()
    for entries in domains.values():
        for i, j, _ in near_pairs([facts.look for _, facts in entries]):
            (phase, one), (other_phase, other) = entries[i], entries[j]
            if phase == other_phase:
                within.add(other.path)
            elif one.digest != other.digest:  # which is told of already
                problems.append(f"{other.path}: looks like {one.path} in {phase or 'no phase'}")
    total = sum(len(files) for files in folders.values())
    return problems, [f"{len(within)} of {total} images look like another of their phase"] if within else []


def _halves(folders: dict[pathlib.Path, list[FileFacts]], root: pathlib.Path) -> list[Pair]:
    """Return the images that may hold A and B side by side: those right below train/, val/ and test/."""
    from data.pairs import Pair

    lying = [folder for folder in folders if folder != root and not _phase_and_domain(folder, root)[1]]
    files = [facts for folder in lying for facts in folders[folder]]
    return [Pair(f.path.stem, f.path, f.path, joined=True) for f in files if f.shape[1] % 2 == 0]


def _shifts(pairs: Sequence[Pair]) -> tuple[list[str], list[str]]:
    """Return the shift that B has against A in most pairs, if it is clear, and single pairs that seem to have one."""
    common = common_shift(_images(pairs))
    if common is None or not common.clear:
        return [], []
    remarks = []
    for pair in pairs:
        found = next((shift_of(*images) for images in _images([pair])), None)
        if found is not None and found.clarity >= _CERTAIN and found.distance >= _FAR > common.distance:
            remarks.append(f"{pair.source}: B may lie {found} of A")
    line = f"B lies {common} of A, judged by the edges in {common.pairs} pairs"
    return ([line], remarks) if common.distance >= 2 else ([], [line, *remarks])


def _images(pairs: Sequence[Pair]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    for pair in pairs:
        with contextlib.suppress(UserError):  # told of already
            yield pair.read()


def _matched(
    folders: dict[pathlib.Path, list[FileFacts]], root: pathlib.Path, dir_a: str, dir_b: str
) -> tuple[list[str], list[Pair]]:
    """Return files without a partner and pairs of unequal size, phase by phase, and the pairs that fit.

    Scans NAME_itrK belong to NAME.
    """
    from data.pairs import Pair

    sides: dict[str, dict[tuple[str, str], FileFacts]] = {dir_a: {}, dir_b: {}}
    for folder, files in folders.items():
        phase, domain = _phase_and_domain(folder, root)
        side = next((name for name in sides if domain == name or domain.startswith(f"{name}/")), None)
        for facts in files if side else []:
            assert side is not None
            sides[side][phase, f"{domain[len(side) :]}/{facts.path.stem}"] = facts
    for name, files_of in sides.items():
        if not files_of:
            raise UserError(f"--dir_A {dir_a} --dir_B {dir_b}: no images in a folder {name} below {root}")
    partners = {key: key if key in sides[dir_b] else (key[0], group_of(key[1], None)) for key in sides[dir_a]}
    lone_b = sides[dir_b].keys() - partners.values()
    matches = [(facts, sides[dir_b].get(partners[key])) for key, facts in sides[dir_a].items()]
    wrong = [_mismatch(facts, partner, dir_b) for facts, partner in matches]
    fitting = [
        Pair(a.path.stem, a.path, b.path) for (a, b), line in zip(matches, wrong, strict=True) if b and not line
    ]
    lone = [_mismatch(facts, None, dir_a) for key, facts in sides[dir_b].items() if key in lone_b]
    return [line for line in wrong + lone if line], fitting


def _mismatch(facts: FileFacts, partner: FileFacts | None, there: str) -> str:
    """Return what is wrong with a pair, or an empty string."""
    if partner is None:
        return f"{facts.path}: no partner in {there}"
    (height, width), (other_height, other_width) = facts.shape[:2], partner.shape[:2]
    if (height, width) == (other_height, other_width):
        return ""
    return f"{facts.path}: {width}x{height} pixels, its partner {partner.path} {other_width}x{other_height}"


def _print_table(folders: dict[pathlib.Path, list[FileFacts]], root: pathlib.Path) -> None:
    print(f"{'folder':24} {'images':>6} {'width x height':>20} {'channels':>8} {'type':>14} {'values':>18}")
    for folder, files in folders.items():
        print(
            f"{folder.relative_to(root).as_posix():24} {len(files):6} {_sizes(files):>20} "
            f"{_join(sorted({f.shape[2] for f in files})):>8} {_join(sorted({f.dtype for f in files})):>14} "
            f"{min(f.low for f in files):>8g} ..{max(f.high for f in files):>8g}"
        )


def _sizes(files: Sequence[FileFacts]) -> str:
    (height, width), count = collections.Counter(f.shape[:2] for f in files).most_common(1)[0]
    return f"{width}x{height}" + (f" + {len(files) - count} others" if count < len(files) else "")


def _join(values: Sequence[object]) -> str:
    return ",".join(map(str, values))
