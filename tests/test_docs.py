"""The pages in docs: they tell of all there is, what they name exists, and their links lead somewhere."""

import importlib.util
import pkgutil
import re
from pathlib import Path

import pytest

from fastconv.cli.command_line import make_parser
from fastconv.nn.losses import COMPARISONS
from fastconv.style import Options
from fastconv.style.images import FORMATS

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PAGE = (DOCS / "style.md").read_text("utf-8")
PAGES = [*sorted(DOCS.glob("*.md")), *(CHECKOUT / name for name in ("README.md", "CONTRIBUTING.md"))]
LINKS = [
    pytest.param(page, link, id=f"{page.name}-{link}")
    for page in PAGES
    for link in re.findall(r"\]\(([^):]+)\)", page.read_text("utf-8"))
]
ARCHITECTURE = (DOCS / "architecture.md").read_text("utf-8")
CODE = set(re.findall(r"`([^`\n]+)`", ARCHITECTURE))  # what stands in code font on that page


def style_actions():
    """Return the arguments of `fastconv style`."""
    parser = make_parser()
    commands = next(action for action in parser._actions if hasattr(action, "choices") and action.choices)
    return commands.choices["style"]._actions


def style_options():
    """Return how the command line spells each option of `fastconv style`."""
    return [action.option_strings for action in style_actions() if action.option_strings]


def page_maker():
    spec = importlib.util.spec_from_file_location("style_pictures", DOCS / "style_pictures.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page_commands():
    return list(page_maker().commands())


@pytest.mark.parametrize(
    ("arguments", "message"), [(["nowhere"], "nowhere is no folder"), ([".", "beta-3"], "no pictures of .*: beta-3; ")]
)
def test_mistakes_with_the_pages_pictures_are_told(monkeypatch, tmp_path, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["style_pictures.py", *arguments])
    with pytest.raises(SystemExit):
        page_maker().main()
    assert re.search(message, capsys.readouterr().err)


@pytest.mark.parametrize("spellings", style_options(), ids=lambda spellings: spellings[-1])
def test_the_page_tells_of_every_option(spellings):
    longest = max(spellings, key=len) if spellings != ["-h", "--help"] else "--help"
    told = set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", PAGE))
    assert told & set(spellings), f"docs/style.md does not tell of {longest}"


def test_options_that_are_gone_are_not_told():
    known = {spelling for spellings in style_options() for spelling in spellings}
    own = set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE))
    elsewhere = set(re.findall(r"--[a-z-]+", " ".join(line for line in PAGE.splitlines() if "python " in line)))
    assert own - elsewhere <= known


@pytest.mark.parametrize("words", page_commands(), ids=lambda words: words[words.index("-o") + 1])
def test_a_command_of_the_page_is_one_and_its_picture_is_shown(words):
    assert make_parser().parse_args(words)
    picture = words[words.index("-o") + 1]
    assert (DOCS / "style" / picture).is_file()
    assert f"](style/{picture})" in PAGE


def test_every_picture_has_its_command():
    made = {words[words.index("-o") + 1] for words in page_commands()}
    assert {path.name for path in (DOCS / "style").iterdir()} == made


def test_the_losses_are_listed_wherever_their_option_is():
    (action,) = [action for action in style_actions() if action.dest == "loss"]
    told = set(re.findall(r"--loss (\w+)", PAGE)) | set(re.findall(r"^- `(\w+)`", PAGE, re.MULTILINE))
    values = re.search(r"loss : \{(.*)\}", Options.__doc__).group(1)
    assert set(re.findall(r"\w+", values)) == set(COMPARISONS)
    assert set(re.findall(r"\w+", action.help.partition(";")[0])) - {"or"} == set(COMPARISONS)
    assert told >= set(COMPARISONS)


def test_the_formats_of_pictures_are_listed_wherever_they_are_asked_for():
    usual = {kind.suffixes[0] for kind in FORMATS.values()}
    (action,) = [action for action in style_actions() if action.dest == "output"]
    assert set(re.findall(r"\.\w+", action.help)) == usual
    assert set(re.findall(r"`(\.\w+)`", PAGE.partition("the picture to make: ")[2].partition(". ")[0])) == usual


@pytest.mark.parametrize(("page", "link"), LINKS)
def test_a_link_leads_somewhere(page, link):
    name, _, anchor = link.partition("#")
    target = page.parent / name if name else page
    assert target.exists()
    assert not anchor or anchor in anchors(target)


def anchors(page):
    """Return what headings of a page can be linked to by: in small letters, with dashes for spaces."""
    headings = re.findall(r"^#+ (.*)$", page.read_text("utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", sorted(set(re.findall(r"`(\w+\.py)`", (DOCS / "kernels.md").read_text("utf-8")))))
def test_a_file_on_the_page_of_the_kernels_exists(name):
    assert any((CHECKOUT / "fastconv" / folder / name).is_file() for folder in ("", "kernels"))


@pytest.mark.parametrize("name", sorted(name for name in CODE if re.fullmatch(r"[a-z_]\w*(\.\w+)+", name)))
def test_a_name_on_the_page_of_the_architecture_exists(name):
    if (CHECKOUT / name).is_file():
        return
    assert pkgutil.resolve_name(f"fastconv.{name}") is not None


@pytest.mark.parametrize("name", sorted(name for name in CODE if re.fullmatch(r"[\w./]+/[\w./]*(::\w+)?", name)))
def test_a_file_on_the_page_of_the_architecture_exists(name):
    path, _, function = name.partition("::")
    if "NAME" in path:  # a file to be made
        assert (CHECKOUT / path).parent.is_dir()
        return
    assert (CHECKOUT / path).exists()
    assert f"def {function}(" in (CHECKOUT / path).read_text() if function else True


@pytest.mark.parametrize("name", sorted(name for name in CODE if re.fullmatch(r"test_\w+|[A-Z_]+", name)))
def test_a_name_in_a_test_on_the_page_of_the_architecture_exists(name):
    written = "".join(
        path.read_text("utf-8") for folder in ("tests", "benchmarks") for path in (CHECKOUT / folder).rglob("*.py")
    )
    assert re.search(rf"^(def {name}\(|{name}\b)", written, re.MULTILINE)
