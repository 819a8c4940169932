"""A registry reads its package's source; what is broken or optional there hurts nobody else."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
import textwrap
from collections.abc import Callable, Iterator

import pytest

import util.registry
from util.errors import UserError
from util.registry import NoOptions, Registry

Add = Callable[[str, str], pathlib.Path]

CIRCLE = """
    from __future__ import annotations
    import no_such_library
    from dataclasses import dataclass
    from shapes import SHAPES
    from util.option import option

    @dataclass(frozen=True)
    class Base:
        radius: float = option(1.0, "half the width", minimum=0)

    @dataclass(frozen=True)
    class CircleOptions(Base):
        \"\"\"Flags of a circle.\"\"\"
        holes: tuple[str, ...] = option((), "what to leave out")
        colour: str | None = option(None, "fill")

    @SHAPES.register("circle", "disc", options=CircleOptions, preset={"holes": "none", "sides": 0})
    class Circle:
        \"\"\"All points at one distance.

        More text.\"\"\"
"""
SQUARE = """
    from shapes import SHAPES

    @SHAPES.register("square")
    def square(options):
        return "a square"
"""


@pytest.fixture
def add(tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Add]:
    """Return a function that writes one file of the package ``shapes``."""
    monkeypatch.setattr(util.registry, "_ROOT", tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def write(name: str, text: str) -> pathlib.Path:
        path = tmp_path / "shapes" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    write("__init__.py", 'from util.registry import Registry\nSHAPES = Registry("SHAPES", "shape", "shapes")\n')
    yield write
    for name in [n for n in sys.modules if n.partition(".")[0] == "shapes" or n.startswith("plugin_")]:
        del sys.modules[name]


def shapes() -> Registry:
    from shapes import SHAPES

    return SHAPES


def test_names_options_and_summary_need_no_import(add: Add) -> None:
    add("circle.py", CIRCLE)
    add("square.py", SQUARE)
    assert shapes().names() == ["circle", "disc", "square"]
    options = shapes().options("circle")
    assert [f.name for f in dataclasses.fields(options)] == ["radius", "holes", "colour"]
    assert options().radius == 1.0
    entry = shapes().entry("disc")
    assert entry.summary == "All points at one distance."
    assert entry.preset == {"holes": "none", "sides": 0}
    assert not {"shapes.circle", "shapes.square"} & set(sys.modules)


def test_an_alias_is_the_same_component_under_its_first_name(add: Add) -> None:
    add("square.py", SQUARE.replace('"square"', '"square", "quad"'))
    assert shapes().canonical("quad") == shapes().canonical("square") == "square"
    assert shapes().get("quad") is shapes().get("square")


def test_getting_one_component_imports_only_its_file(add: Add) -> None:
    add("circle.py", CIRCLE)
    add("square.py", SQUARE)
    assert shapes().get("square")(None) == "a square"
    assert shapes().options("square") is NoOptions
    with pytest.raises(ModuleNotFoundError, match="no_such_library"):
        shapes().get("circle")


def test_imported_components_and_their_options_are_the_same_class(add: Add) -> None:
    add("circle.py", CIRCLE.replace("import no_such_library", ""))
    component = shapes().get("circle")
    assert component.__name__ == "Circle"
    assert shapes().options("circle") is sys.modules["shapes.circle"].CircleOptions


def test_an_unknown_name_lists_the_choices_and_the_nearest(add: Add) -> None:
    add("circle.py", CIRCLE)
    add("square.py", SQUARE)
    with pytest.raises(UserError) as caught:
        shapes().entry("sqare")
    assert str(caught.value) == "unknown shape 'sqare'; did you mean square? (choose from circle, disc, square)"


@pytest.mark.parametrize(
    "broken",
    [
        "def unfinished(:\n",
        "from shapes import SHAPES\nNAME = 'x'\n@SHAPES.register(NAME)\ndef make(options): ...\n",
        "from shapes import SHAPES\nP = {}\n@SHAPES.register('x', preset=P)\ndef make(options): ...\n",
        "from shapes import SHAPES\n@SHAPES.register('x', preset={**no_such_name})\ndef make(options): ...\n",
    ],
    ids=["syntax", "computed-name", "computed-preset", "unknown-constant"],
)
def test_a_broken_file_is_named_and_does_not_hurt_the_others(
    add: Add, broken: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = add("broken.py", broken)
    add("square.py", SQUARE)
    assert shapes().names() == ["square"]
    assert str(path) in capsys.readouterr().err


def test_a_file_that_is_no_text_does_not_hurt_the_others(add: Add) -> None:
    add("broken.py", "").write_bytes(b"\xff\xfe\x00 nothing readable")
    add("square.py", SQUARE)
    assert shapes().names() == ["square"]


def test_a_plugin_file_joins_from_anywhere(add: Add, tmp_path: pathlib.Path) -> None:
    add("square.py", SQUARE)
    plugin = tmp_path / "elsewhere" / "mine.py"
    plugin.parent.mkdir()
    plugin.write_text(textwrap.dedent(SQUARE).replace("square", "star"))
    assert "star" not in shapes().names()
    shapes().use_plugins([plugin])
    assert shapes().names() == ["square", "star"]
    assert shapes().get("star")(None) == "a star"
    assert shapes().get("square")(None) == "a square"


def test_options_may_use_constants_of_their_file(add: Add) -> None:
    constants = "SIDES: int = 2 * HALF\n\n@dataclass(frozen=True)\nclass Base:"
    text = textwrap.dedent(CIRCLE).replace("@dataclass(frozen=True)\nclass Base:", f"HALF, _ = 3, 0\n{constants}")
    add("circle.py", text.replace("option(1.0,", "option(float(SIDES),"))
    assert shapes().options("circle")().radius == 6.0


def test_presets_may_share_a_constant_of_their_file(add: Add) -> None:
    lines = ['_USUAL = {"sides": 4, "colour": "red"}', '@SHAPES.register("square", preset={**_USUAL, "sides": 5})']
    add("square.py", textwrap.dedent(SQUARE).replace('@SHAPES.register("square")', "\n".join(lines)))
    assert shapes().entry("square").preset == {"sides": 5, "colour": "red"}


def test_options_that_need_more_of_their_file_are_one_line(add: Add) -> None:
    path = add("circle.py", CIRCLE.replace("option(1.0,", "option(radius_of(3),"))
    with pytest.raises(UserError, match="CircleOptions.*radius_of") as caught:
        shapes().options("circle")
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_one_name_in_two_files_names_both(add: Add) -> None:
    paths = [add(f"{name}.py", SQUARE) for name in ("square", "quad")]
    with pytest.raises(UserError, match="the shape 'square' is in") as caught:
        shapes().names()
    assert all(str(path) in str(caught.value) for path in paths)


def test_plugins_of_one_stem_are_two_modules(add: Add, tmp_path: pathlib.Path) -> None:
    plugins = [tmp_path / name / "mine.py" for name in ("star", "moon")]
    for plugin in plugins:
        plugin.parent.mkdir()
        plugin.write_text(textwrap.dedent(SQUARE).replace("square", plugin.parent.name))
    shapes().use_plugins([*plugins, plugins[0].parent / "." / "mine.py"])
    assert [shapes().get(name)(None) for name in shapes().names()] == ["a moon", "a star"]


def test_plugins_last_until_the_next_choice_of_plugins(add: Add, tmp_path: pathlib.Path) -> None:
    for folder in ("one", "two"):
        plugin = tmp_path / folder / "mine.py"
        plugin.parent.mkdir()
        plugin.write_text(textwrap.dedent(SQUARE).replace("a square", folder))
        shapes().use_plugins([plugin])
        assert shapes().get("square")(None) == folder
    shapes().use_plugins([])
    assert shapes().names() == []


def test_a_listed_file_as_plugin_changes_nothing(add: Add) -> None:
    path = add("square.py", SQUARE)
    shapes().use_plugins([path])
    assert shapes().names() == ["square"] and shapes().entry("square").module == "shapes.square"
