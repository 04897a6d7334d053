"""Who imports whom: the arrows of the package point one way, as the map for contributors has it; importing is light."""

import ast
import graphlib
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

import fastconv
from fastconv.jit import cache

ROOT = Path(fastconv.__file__).parent
MAP = Path(__file__).parents[1] / "CONTRIBUTING.md"
FACE = "fastconv"  # fastconv/__init__.py, as a part of its own
DIVIDED = {"style"}  # parts whose rooms are parts, too; their own row is that of their __init__.py

# Part of the package -> the other parts that it may import, wherever the import stands.
MAY_IMPORT = {
    FACE: {"conv", "pool", "jit"},
    "cli": {
        FACE,
        "style",
        "style.algorithm",
        "style.demo",
        "style.files",
        "style.images",
        "style.running",
        "style.study",
        "weights",
        "jit",
        "log",
    },
    "style": {"style.algorithm", "style.files", "style.images", "style.transfer"},
    "style.study": {
        "log",
        "geometry",
        "nn",
        "style.algorithm",
        "style.files",
        "style.images",
        "style.running",
        "style.transfer",
        "weights",
    },
    "style.running": {
        "log",
        "geometry",
        FACE,
        "files",
        "jit",
        "style.algorithm",
        "style.files",
        "style.images",
        "style.report",
        "style.transfer",
        "style.wording",
        "weights",
    },
    "style.report": {"geometry", "files", "programs", "style.files", "style.images", "style.transfer", "style.wording"},
    "style.transfer": {"geometry", FACE, "log", "nn", "style.algorithm", "style.images", "weights"},
    "style.algorithm": {"geometry", FACE, "nn", "sizes", "style.images", "weights"},
    "style.demo": {"geometry", "style.images"},
    "style.images": {"geometry", "files", "style.files"},
    "style.files": {"files"},
    "style.wording": set(),
    "nn": {"allocation", "backend", "conv", "fused", "geometry", "pool", "traces"},
    "fused": {"algorithms", "backend", "checks", "geometry", "traces"},
    "conv": {"algorithms", "arrays", "backend", "checks", "geometry", "jit", "traces"},
    "pool": {"arrays", "backend", "checks", "geometry"},
    "algorithms": {"backend", "costs", "geometry", "jit", "kernels", "reference", "traces"},
    "costs": {"geometry", "jit", "kernels", "sizes"},
    "backend": {"geometry", "kernels", "reference", "traces"},
    "arrays": {"allocation", "checks"},
    "allocation": {"jit", "sizes"},
    "checks": {"geometry", "sizes"},
    "kernels": {"geometry", "jit", "sizes", "traces"},
    "jit": {"files"},
    "files": set(),
    "traces": {"geometry"},
    "geometry": set(),
    "sizes": set(),
    "reference": set(),
    "weights": {"files", "log", "programs"},
    "log": set(),
    "programs": set(),
}
# Part -> libraries that it may load when it is imported; the others load theirs within functions.
MAY_LOAD = {
    FACE: set(),
    "cli": set(),
    "style": set(),
    "style.study": {"numpy"},
    "style.running": {"numpy", "PIL"},
    "style.report": {"numpy", "PIL"},
    "style.transfer": {"numpy", "numba", "psutil"},
    "style.algorithm": {"numpy"},
    "style.demo": {"numpy"},
    "style.images": {"numpy", "PIL"},
    "style.files": set(),
    "style.wording": set(),
    "nn": {"numpy"},
    "fused": set(),
    "conv": {"numpy"},
    "pool": {"numpy"},
    "algorithms": {"numpy"},
    "costs": {"numpy"},
    "backend": {"numpy", "numba"},
    "checks": {"numpy"},
    "kernels": {"numpy", "numba", "llvmlite"},
    "jit": {"numpy", "numba", "llvmlite"},
    "geometry": {"numpy"},
    "reference": {"numpy"},
    "arrays": {"numpy"},
    "allocation": {"numpy"},
    "traces": {"numpy"},
    "sizes": set(),
    "weights": {"numpy"},
    "files": set(),
    "log": set(),
    "programs": set(),
}
HEAVY = {"scipy", "PIL", "h5py", "pooch", "platformdirs", "imageio", "tifffile", "skimage", "torch", "psutil", "tqdm"}


class Import(NamedTuple):
    """An import: the full name of what is imported, and whether it happens when the file is imported."""

    name: str
    at_once: bool


def _imports(source, module, is_package):
    """Return the imports of a file but those for type checkers alone."""
    found = []

    def visit(node, at_once):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children = node.orelse
        elif isinstance(node, ast.Import):
            found.extend(Import(alias.name, at_once) for alias in node.names)
            return
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            found.extend(Import(f"{base}.{alias.name}", at_once) for alias in node.names)
            return
        else:
            children = ast.iter_child_nodes(node)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in children:
            visit(child, at_once and not inside)

    visit(ast.parse(source), True)
    return found


def _absolute(node, module, is_package):
    if not node.level:
        return node.module
    parents = module.split(".")
    package = parents[: len(parents) - node.level + is_package]
    return ".".join([*package, *([node.module] if node.module else [])])


def _part(module):
    """Return the part of the package that a module of it, or a name in one, belongs to."""
    _, first, second, *_ = [*module.split("."), "", ""]
    if first not in _rooms_of(ROOT):
        return FACE
    return f"{first}.{second}" if first in DIVIDED and second in _rooms_of(ROOT / first) else first


def _rooms_of(folder):
    """Return the names of the modules and packages in a folder."""
    return {path.stem for path in folder.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}


def _forbidden(source, module, is_package=False):
    """Return a line about each import in a file that points the wrong way."""
    part = _part(module)
    wrong = []
    for name, at_once in _imports(source, module, is_package):
        library = name.split(".")[0]
        if library == "fastconv":
            other = _part(name)
            if other != part and other not in MAY_IMPORT[part] and not _allowed_module(name, part):
                wrong.append(f"{module} imports {name}")
        elif at_once and library not in sys.stdlib_module_names and library not in MAY_LOAD[part]:
            wrong.append(f"{module} loads {name}")
    return wrong


def _allowed_module(name, part):
    return any(f"{name}.".startswith(f"fastconv.{allowed}.") for allowed in MAY_IMPORT[part] if "." in allowed)


def _modules():
    for path in sorted(ROOT.rglob("*.py")):
        is_package = path.stem == "__init__"
        names = path.relative_to(ROOT.parent).with_suffix("").parts
        yield path, ".".join(names[:-1] if is_package else names), is_package


MODULES = list(_modules())


@pytest.mark.parametrize(("path", "module", "is_package"), MODULES, ids=[module for _, module, _ in MODULES])
def test_imports_point_one_way(path, module, is_package):
    assert _forbidden(path.read_text(), module, is_package) == []


def test_every_part_has_its_arrows():
    assert {_part(module) for _, module, _ in MODULES} == set(MAY_IMPORT) == set(MAY_LOAD)


def test_no_arrow_leads_back():
    graphlib.TopologicalSorter({part: map(_owner, others) for part, others in MAY_IMPORT.items()}).prepare()


def test_the_map_for_contributors_has_every_part_once():
    assert sorted(_mapped()) == sorted(MAY_IMPORT)


def test_on_the_map_imports_point_down():
    place = {part: number for number, part in enumerate(_mapped())}
    upward = [
        f"{part} imports {_owner(other)}, which stands above it"
        for part, others in MAY_IMPORT.items()
        for other in others
        if place[_owner(other)] < place[part]
    ]
    assert upward == []


def _mapped():
    """Return the parts in the table of CONTRIBUTING.md, from the top."""
    _, _, section = MAP.read_text("utf-8").partition("## Where things are")
    return re.findall(r"^\| `([\w.]+)` \|", section.partition("\n## ")[0], re.MULTILINE)


def _owner(allowed):
    """Return the part that something allowed, a part or a module of one, belongs to."""
    return FACE if allowed == FACE else _part(f"{FACE}.{allowed}")


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from fastconv.nn import layers", "fastconv.conv"),
        ("def f():\n    import fastconv.style", "fastconv.nn.layers"),
        ("from .. import checks", "fastconv.kernels.direct"),
        ("from fastconv.kernels import gram", "fastconv.nn.grams"),
        ("from fastconv.kernels import direct", "fastconv.nn.layers"),
        ("from fastconv import conv2d", "fastconv.nn.layers"),
        ("from fastconv.weights import load", "fastconv.conv"),
        ("import scipy.io", "fastconv.weights.matconvnet"),
        ("import numba", "fastconv.reference.loops"),
        ("class A:\n    import imageio", "fastconv.style.report.movie"),
        ("from fastconv.style import Transfer", "fastconv.style.report.page"),
        ("from fastconv.style.running import run", "fastconv.style.transfer.transfer"),
        ("from ..report import film", "fastconv.style.transfer.transfer"),
        ("import psutil", "fastconv.style.running.run"),
    ],
)
def test_a_wrong_import_is_seen(source, module):
    assert len(_forbidden(source, module)) == 1


@pytest.mark.parametrize(
    ("source", "module"),
    [
        ("from fastconv.backend import backend", "fastconv.nn.optim"),
        ("from . import simd", "fastconv.kernels.gather"),
        ("def read():\n    import scipy.io", "fastconv.weights.matconvnet"),
        ("if TYPE_CHECKING:\n    import imageio", "fastconv.style.report.movie"),
        ("from ..images import load", "fastconv.style.transfer.transfer"),
        ("import fastconv", "fastconv.style.running.run"),
    ],
)
def test_a_right_import_is_not(source, module):
    assert _forbidden(source, module) == []


def test_importing_the_package_loads_nothing_heavy():
    parts = [f"fastconv.{name}" for name in ("nn", "style", "weights", "cli")]
    code = (  # after Numba, which loads SciPy by itself
        "import sys, numba; before = set(sys.modules); import fastconv; "
        f"print(sorted((set(sys.modules) - before) & {set(parts) | HEAVY!r}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"


def test_the_cache_knows_all_that_kernels_are_made_of():
    """A constant of another part is compiled into kernels: when it changes, they must be compiled anew."""
    known = {Path(pattern).parts[0].removesuffix(".py") for pattern in cache._SOURCES}
    assert {"kernels", *MAY_IMPORT["kernels"]} <= known


def test_one_place_asks_whether_numba_may_compile():
    asking = [module for path, module, _ in MODULES if "config.DISABLE_JIT" in path.read_text()]
    assert asking == ["fastconv.backend"]
