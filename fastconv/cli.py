"""The command `fastconv`: results go to standard output, everything said to people to standard error.

Each subcommand is a function that adds its parser, with `run` and `extra` set as defaults, and a function
that runs it and returns an exit code. What only one of them needs, its function imports.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from enum import IntEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastconv import __version__

if TYPE_CHECKING:
    from fastconv.style import Step
    from fastconv.weights import Found

# Modules that are called otherwise than the packages they come in.
_PACKAGE_OF = {"PIL": "pillow", "skimage": "scikit-image"}


class Exit(IntEnum):
    """What the exit code says."""

    DONE = 0
    INTERNAL = 1
    USAGE = 2
    WEIGHTS = 3
    MEMORY = 4
    OUTPUT = 5
    INTERRUPTED = 130
    TERMINATED = 143


class CommandError(Exception):
    """Something that the user can mend, with the exit code that stands for it."""

    def __init__(self, code: Exit, message: str) -> None:
        super().__init__(message)
        self.code = code


def main(argv: Sequence[str] | None = None, *, callback: Callable[[Step], None] | None = None) -> int:
    """Run the command line `argv` (without the program's name) and return its exit code.

    Programs that watch a transfer give a `callback`, see `fastconv.style.running.run.run`.
    """
    try:
        args = _parser().parse_args(argv)
        args.callback = callback
    except SystemExit as stop:  # argparse's way out, after --help as after a mistake
        return int(stop.code or 0)
    try:
        code = int(args.run(args))
        if sys.stdout is not None:  # as it is where the caller has closed it
            sys.stdout.flush()  # here, where a failure can still be handled
        return code
    except KeyboardInterrupt:
        say("interrupted")
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Whoever read the results, such as head, has had enough. Python would try once more to write what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.OUTPUT
    except Exception as error:
        return _explain(error, args.extra)


def say(message: str) -> None:
    """Tell the user something that is not a result."""
    print(f"fastconv: {message}", file=sys.stderr, flush=True)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fastconv",
        description="Convolution on the CPU, and neural style transfer built on it.",
        epilog="Exit codes: 0 done; 1 internal error; 2 usage, unreadable input or a missing extra; "
        "3 weights missing or wrong; 4 does not fit in memory; 5 output cannot be written or exists; "
        "130 and 143 interrupted.",
    )
    parser.add_argument("--version", action="version", version=f"fastconv {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_info(commands)
    _add_weights(commands)
    _add_style(commands)
    _add_study(commands)
    _add_completion(commands)
    return parser


def _explain(error: Exception, extra: str) -> Exit:
    """Say what went wrong, in a line where the user can mend it, and return the exit code."""
    from fastconv.weights import WeightsError

    if isinstance(error, CommandError):
        say(str(error))
        return error.code
    if isinstance(error, WeightsError):
        say(str(error))
        return Exit.WEIGHTS
    if isinstance(error, MemoryError):
        say(f"out of memory: {error}")
        return Exit.MEMORY
    if isinstance(error, ModuleNotFoundError) and (advice := _missing_extra(error, extra)):
        say(advice)
        return Exit.USAGE
    traceback.print_exception(error)
    say("this is an error of the program itself; please report it with the lines above")
    return Exit.INTERNAL


def _missing_extra(error: ModuleNotFoundError, extra: str) -> str | None:
    """Return how to install what `error` misses, or None if no extra of this package brings it.

    `extra` is what the subcommand needs in any case, so that one installation is enough.
    """
    module = (error.name or "").partition(".")[0]
    package = _PACKAGE_OF.get(module, module.lower().replace("_", "-"))
    extras = _extras()
    enough = [name for name, brought in extras.items() if package in brought and extras[extra] <= brought]
    if not enough:
        return None
    smallest = min(enough, key=lambda name: len(extras[name]))
    return f"{module} is not installed; this command needs: pip install 'fastconv[{smallest}]'"


def _extras() -> dict[str, set[str]]:
    """Return the packages that each of our extras brings, those of extras within it too, as the metadata lists them."""
    from importlib.metadata import PackageNotFoundError, requires

    extras: dict[str, set[str]] = {}
    with suppress(PackageNotFoundError):  # as in a checkout that was never installed
        for requirement in requires("fastconv") or ():
            if match := re.match(r"([\w.-]+).*\bextra == ['\"]([\w-]+)", requirement):
                package, extra = match.groups()
                extras.setdefault(extra, set()).add(package.lower())
    return extras


def _add_info(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("info", help="versions, processor, threads, folders, weights found")
    parser.set_defaults(run=_info, extra="weights")


def _info(args: argparse.Namespace) -> Exit:
    from fastconv import jit

    facts = {"fastconv": __version__, **_versions(), **jit.describe()}
    width = max(map(len, facts)) + 2
    for name, value in facts.items():
        print(f"{name:{width}}{value}")
    for line in _weights_found():
        print(f"{'weights':{width}}{line}")
    return Exit.DONE


def _versions() -> dict[str, str]:
    import platform
    from importlib.metadata import PackageNotFoundError, version

    # Not platform.platform(), which runs `uname` from wherever PATH leads, be it the current folder.
    system = f"{platform.system()} {platform.release()}, {platform.machine()}"
    versions = {"python": f"{platform.python_version()} ({system})"}
    for name in ("numpy", "numba", "llvmlite", "tbb"):
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _weights_found() -> list[str]:
    from fastconv.weights import find

    return [_describe(found) for found in find()] or ["none found; a first use downloads them"]


def _describe(found: Found) -> str:
    return f"{found.source.name}: {found.path} ({found.place})"


def _add_weights(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser("weights", help="list, fetch, convert and check the pretrained network")
    parser.set_defaults(extra="weights")
    actions = parser.add_subparsers(metavar="ACTION", required=True)

    listing = actions.add_parser("list", help="the published files, and those found on this machine")
    listing.set_defaults(run=_weights_list)

    fetch = actions.add_parser("fetch", help="find or download one, and print the path of the file")
    fetch.add_argument("name", nargs="?", help="vgg19-q8 (the default), vgg19 or vgg19-keras")
    fetch.set_defaults(run=_weights_fetch)

    convert = actions.add_parser("convert", help="read a file and keep its convolutions; prints the new file's path")
    convert.add_argument("path", type=Path, help="a .mat, .h5, .bin, .whl or .npz file")
    convert.add_argument("-o", "--output", type=Path, help="file or folder to write to (default: the user's cache)")
    convert.add_argument("--overwrite", action="store_true", help="replace the output file if it exists")
    convert.set_defaults(run=_weights_convert)

    check = actions.add_parser("check", help="read files to the end and compare them with the published ones")
    check.add_argument("source", nargs="?", help="a path or a name (default: all that are found)")
    check.set_defaults(run=_weights_check)


def _weights_list(args: argparse.Namespace) -> Exit:
    from fastconv.weights import SOURCES, find

    for source in SOURCES.values():
        print(f"{source.name:12} {source.download_size / 1e6:6.1f} MB  {source.summary}")
        print(f"{'':12} {source.origin}")
    for found in find():
        print(f"found {_describe(found)}")
    return Exit.DONE


def _weights_fetch(args: argparse.Namespace) -> Exit:
    from fastconv.weights import DEFAULT, SOURCES, load

    name = args.name or DEFAULT
    if name not in SOURCES:
        raise CommandError(Exit.USAGE, f"weights fetch: no file called {name!r}; expected {', '.join(SOURCES)}")
    print(load(name, log=say).path)
    return Exit.DONE


def _weights_convert(args: argparse.Namespace) -> Exit:
    from fastconv.weights import convert

    if args.output and args.output.is_file() and not args.overwrite:
        raise CommandError(Exit.OUTPUT, f"--output: {args.output} exists; --overwrite replaces it")
    try:
        print(convert(args.path, args.output, log=say))
    except OSError as error:
        raise CommandError(Exit.OUTPUT, f"the converted file cannot be written: {error}") from error
    return Exit.DONE


def _weights_check(args: argparse.Namespace) -> Exit:
    from fastconv.weights import SOURCES, MissingWeightsError, WeightsError, find, load_file

    named = args.source is None or args.source in SOURCES
    names = SOURCES if args.source is None else [args.source]
    paths = [found.path for found in find(names)] if named else [Path(args.source)]
    if not paths:
        raise MissingWeightsError(f"weights check: no file found for {' or '.join(names)}")
    result = Exit.DONE
    for path in paths:
        try:
            weights = load_file(path, log=say)
        except WeightsError as error:
            print(f"wrong  {error}")
            result = Exit.WEIGHTS
        else:
            kernels = "exact kernels" if weights.exact else "kernels rounded to 256 values a layer"
            print(f"ok     {path}: {weights.source}, {kernels}, SHA256 {weights.sha256}")
    return result


def _add_style(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "style",
        help="repaint a photograph in the manner of a painting",
        usage="fastconv style CONTENT STYLE [STYLE ...] -o OUT [option ...]\n"
        "       fastconv style --demo [option ...]\n"
        "       fastconv style --resume FILE [-o OUT] [--steps N] [--save-every N] [--quiet]",
        description="Repaint a photograph in the manner of paintings, and print the path of the result. "
        "Ctrl-C saves what there is; a second one quits at once.",
        formatter_class=_StyleHelp,
        argument_default=argparse.SUPPRESS,  # what is not given is left to the signature of `stylize`
        allow_abbrev=False,
    )
    parser.set_defaults(run=_style, extra="style")
    parser.add_argument(
        "pictures", nargs="*", default=[], help="the photograph, or a folder of them, then one or more paintings"
    )
    parser.add_argument(
        "-o", "--output", type=Path, metavar="OUT", help="the picture to make: .png, .jpg, .webp or .tif; or a folder"
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="need no pictures; writes demo.png, 384 px unless --size or --preset says otherwise",
    )
    parser.add_argument("--preset", metavar="NAME", help="fast, best or gatys: which defaults the other options have")
    parser.add_argument("--list-layers", action="store_true", help="print the names of the network's layers")

    picture = parser.add_argument_group("the picture")
    picture.add_argument("--size", type=_size, metavar="N|WxH", help="long side in pixels; WxH stretches")
    picture.add_argument("--enlarge", action="store_true", help="enlarge pictures that are smaller")
    picture.add_argument("--restore-size", action="store_true", help="save at the photograph's own size")
    picture.add_argument("--alpha", "--content-weight", type=float, metavar="X", help="weight of the photograph")
    picture.add_argument("--beta", "--style-weight", type=float, metavar="X", help="weight of the style")
    picture.add_argument(
        "--style-weights",
        "-sw",
        type=_numbers("numbers separated by commas, one for each painting, such as 1,3"),
        metavar="X,X,...",
        help="shares of several paintings (default: equal)",
    )
    picture.add_argument(
        "--mask",
        dest="masks",
        action="append",
        metavar="FILE",
        help="white where a painting applies; once for each painting, in their order",
    )
    picture.add_argument("--style-scale", type=float, metavar="X", help="size of the paintings, times the result's")
    picture.add_argument(
        "--preserve-colors",
        metavar="HOW",
        help="luma: the photograph's colours, the result's brightness; match: paintings recoloured to the photograph",
    )
    picture.add_argument("--total-variation", "--tv", type=float, metavar="X", help="weight of smoothness")
    picture.add_argument("--init", metavar="START", help="content, noise, gray, style (its colours) or a picture")
    picture.add_argument("--seed", type=int, metavar="N", help="of the noise")

    method = parser.add_argument_group("the method")
    method.add_argument(
        "--steps", "--iterations", type=int, metavar="N", help="steps a scale, twice as many at the first of several"
    )
    method.add_argument(
        "--min-scale", type=int, metavar="N", help="long side of the first scale; --size or more: no scales"
    )
    method.add_argument(
        "--loss", metavar="NAME", help="relative, gatys, gram or wasserstein; each needs another --beta"
    )
    method.add_argument(
        "--content-layers", type=_names, metavar="L,L:W,...", help="compared with the photograph, W is a weight"
    )
    method.add_argument("--style-layers", type=_names, metavar="L,L:W,...", help="compared with the paintings")
    method.add_argument("--pooling", metavar="NAME", help="max or average")
    method.add_argument("--padding", metavar="NAME", help="replicate, or zeros, which paint a frame")
    method.add_argument("--optimizer", metavar="NAME", help="adam or lbfgs")
    method.add_argument("--learning-rate", "--lr", type=float, metavar="X", help="grey levels a step, about")
    method.add_argument(
        "--betas",
        type=_numbers("two numbers from 0 to below 1, separated by a comma, such as 0.9,0.99"),
        metavar="X,X",
        help="decay rates of Adam",
    )
    method.add_argument("--no-clip", dest="clip", action="store_false", help="let pixels leave 0 to 255")
    method.add_argument(
        "--average",
        type=float,
        metavar="X",
        help="decay of the average of the steps; 0: the last one (default: 1 - 10/steps, at most 0.99)",
    )

    kept = parser.add_argument_group("what is kept")
    kept.add_argument("--overwrite", action="store_true", help="replace files that exist")
    kept.add_argument("--bits", type=int, metavar="N", help="bits a channel: 8, or 16 for PNG and TIFF (default: 8)")
    kept.add_argument(
        "--no-metadata", dest="metadata", action="store_false", help="keep the settings out of the pictures"
    )
    kept.add_argument("--save-every", type=int, metavar="N", help="save OUT-0100.png and so on, after each N steps")
    kept.add_argument("--in-place", action="store_true", help="with --save-every: save OUT itself")
    kept.add_argument("--checkpoint", type=Path, metavar="FILE", help="keep here what --resume needs to go on")
    kept.add_argument("--resume", type=Path, metavar="FILE", help="go on from a checkpoint, with its settings")
    kept.add_argument("--report", type=Path, metavar="FILE.html", help="a page with pictures, losses, times, settings")
    kept.add_argument("--movie", type=Path, metavar="FILE", help="the picture on its way, as .gif or .mp4")
    kept.add_argument("--log", dest="log_file", type=Path, metavar="FILE.json", help="settings and losses")

    program = parser.add_argument_group("the program")
    program.add_argument("--weights", metavar="W", help="name or file of the weights, see: fastconv weights list")
    program.add_argument("--offline", action="store_true", help="never download weights")
    program.add_argument("--threads", type=int, metavar="N", help="(default: all)")
    program.add_argument(
        "--max-memory",
        metavar="SIZE",
        help="such as 4GB; what is larger is done in tiles (default: 80%% of what is free)",
    )
    program.add_argument(
        "--tile", type=int, metavar="N", help="side of the tiles in pixels, 0 for none (default: as memory allows)"
    )
    program.add_argument("--quiet", action="store_true", help="say nothing but errors and results")
    program.add_argument("--json", action="store_true", help="print settings and losses instead of the path")


class _StyleHelp(argparse.HelpFormatter):
    """Adds the defaults, which stand in the signature of `stylize`; it is imported only when help is asked for."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = _style_defaults().get(action.dest)
        if default is None or isinstance(default, bool) or action.help is None:
            return action.help
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        return f"{action.help} (default: {default})"


def _style_defaults() -> dict[str, Any]:
    import inspect

    try:
        from fastconv.style import stylize
    except ModuleNotFoundError:  # help is there without the extra, too
        return {}
    parameters = inspect.signature(stylize).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


def _size(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdigit() else text


def _numbers(expected: str) -> Callable[[str], tuple[float, ...]]:
    """Return what reads numbers between commas, and asks for what is `expected` where there is something else."""

    def read(text: str) -> tuple[float, ...]:
        try:
            return tuple(float(part) for part in text.split(","))
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {expected}, got {text!r}") from None

    return read


def _names(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _style(args: argparse.Namespace) -> int:
    from fastconv.style.files import is_folder
    from fastconv.style.running.run import run

    if "list_layers" in args:
        from fastconv.style.algorithm.options import LAYER_NAMES

        print(*LAYER_NAMES, sep="\n")
        return Exit.DONE
    log = None if "quiet" in args else say
    telling: dict[str, Any] = {
        "log": log,
        "progress": sys.stderr if log else None,
        "callback": vars(args).pop("callback"),  # what is left are options
    }
    with _style_errors(), _image_warnings(log):
        if "resume" in args:
            outcome = _resume(args, telling)
        else:
            content, styles, output, options = _style_inputs(args)
            if "threads" in args:
                _limit_threads(args.threads)
            outputs = _outputs(args, output)
            if isinstance(content, str) and is_folder(Path(content)):
                return _style_folder(Path(content), styles, outputs, telling, options)
            outcome = run(content, styles, outputs, **telling, **options)
    print(outcome)
    return 128 + outcome.interrupted_by if outcome.interrupted_by else Exit.DONE


@contextmanager
def _style_errors() -> Iterator[None]:
    """Give the errors of a transfer that the user can mend their exit codes."""
    from fastconv.style import ImageError, MemoryLimitError, OptionError, OutputError
    from fastconv.style.running.saved import CheckpointError

    try:
        yield
    except (OptionError, ImageError, CheckpointError) as error:
        raise CommandError(Exit.USAGE, str(error)) from error
    except MemoryLimitError as error:
        raise CommandError(Exit.MEMORY, str(error)) from error
    except OutputError as error:
        raise CommandError(Exit.OUTPUT, str(error)) from error
    except FloatingPointError as error:
        raise CommandError(Exit.INTERNAL, str(error)) from error


@contextmanager
def _image_warnings(log: Any) -> Iterator[None]:
    """Say in a line what is ignored or dropped of a picture."""
    import warnings

    from fastconv.style.images import ImageWarning

    with warnings.catch_warnings():
        warnings.simplefilter("always" if log else "ignore", ImageWarning)
        warnings.showwarning = lambda message, *_: say(str(message))
        yield


def _outputs(args: argparse.Namespace, picture: Path) -> Any:
    import dataclasses

    from fastconv.style.running.outputs import Outputs

    names = {field.name for field in dataclasses.fields(Outputs)}
    return Outputs(picture, **{name: value for name, value in vars(args).items() if name in names})


def _resume(args: argparse.Namespace, telling: dict[str, Any]) -> Any:
    from fastconv.style.running.run import resume

    own = {"resume", "output", "steps", "save_every", "quiet"}
    others = [name for name, value in vars(args).items() if name not in own | {"run", "extra"} and value != []]
    if others:
        raise CommandError(
            Exit.USAGE,
            "style: --resume takes every setting from the file but -o, --steps, --save-every and --quiet; "
            f"given as well: {', '.join(map(_spelt, others))}",
        )
    changes = {name: getattr(args, name) for name in ("steps", "save_every") if name in args}
    return resume(args.resume, picture=getattr(args, "output", None), **changes, **telling)


def _spelt(name: str) -> str:
    """Return how the command line spells an argument."""
    special = {
        "pictures": "pictures",
        "log_file": "--log",
        "clip": "--no-clip",
        "masks": "--mask",
        "metadata": "--no-metadata",
    }
    return special.get(name, f"--{name.replace('_', '-')}")


def _style_folder(
    folder: Path, styles: Sequence[Any], outputs: Any, telling: dict[str, Any], options: dict[str, Any]
) -> int:
    from fastconv.style.running.batch import run_folder

    batch = run_folder(folder, styles, outputs, show=lambda outcome: print(outcome, flush=True), **telling, **options)
    for path, reason in batch.failures.items():
        say(f"failed: {path}: {reason}")
    if batch.interrupted_by:
        return 128 + batch.interrupted_by
    return Exit.USAGE if batch.failures else Exit.DONE


def _add_study(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "study",
        help="the experiment this program grew out of, measured: steps, weights, learning rates",
        usage="fastconv study [CONTENT STYLE] [-o FOLDER] [option ...]",
        description="Repaint a photograph at 320x192 with a range of steps, weights and learning rates, print "
        "losses and gradients of each run, and draw a contact sheet and curves. docs/study.md explains them.",
    )
    parser.set_defaults(run=_study, extra="study")
    parser.add_argument("pictures", nargs="*", help="a photograph and a painting (default: those of style --demo)")
    parser.add_argument("-o", "--output", type=Path, default=Path("study"), metavar="FOLDER", help="(default: study)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that exist")
    parser.add_argument("--weights", metavar="W", help="name or file of the weights, see: fastconv weights list")
    parser.add_argument("--offline", action="store_true", help="never download weights")
    parser.add_argument("--threads", type=int, metavar="N", help="(default: all)")
    parser.add_argument("--quiet", action="store_true", help="say nothing but errors and results")


def _study(args: argparse.Namespace) -> Exit:
    from fastconv.style.demo.pictures import demo_pictures
    from fastconv.style.study.study import study

    if len(args.pictures) not in (0, 2):
        raise CommandError(Exit.USAGE, f"study: expected CONTENT STYLE or no pictures, got {' '.join(args.pictures)}")
    if args.threads is not None:
        _limit_threads(args.threads)
    log = None if args.quiet else say
    with _style_errors(), _image_warnings(log):
        content, style = args.pictures or demo_pictures()
        outputs = study(
            content,
            style,
            args.output,
            overwrite=args.overwrite,
            weights=args.weights,
            offline=args.offline,
            show=lambda line: print(line, flush=True),
            log=log,
            progress=sys.stderr if log else None,
        )
    print(outputs.sheet, outputs.curves, outputs.numbers, sep="\n")
    return Exit.DONE


def _add_completion(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "completion",
        help="print a script that completes this command in a shell",
        description='Print a script that completes this command. For bash: eval "$(fastconv completion bash)"',
    )
    parser.set_defaults(run=_completion, extra="style")
    parser.add_argument("shell", choices=("bash", "zsh", "tcsh"))


def _completion(args: argparse.Namespace) -> Exit:
    import shtab

    parser = _parser()
    for action in _all_actions(parser):
        if action.type is Path or action.dest in ("pictures", "init", "masks", "weights", "source"):
            action.complete = shtab.FILE  # type: ignore[attr-defined]
    print(shtab.complete(parser, args.shell))
    return Exit.DONE


def _all_actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Yield the arguments of a parser and of its subcommands."""
    for action in parser._actions:
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for subparser in action.choices.values():
                yield from _all_actions(subparser)


def _limit_threads(number: int) -> None:
    from fastconv import set_num_threads

    try:
        set_num_threads(number)
    except ValueError as error:
        raise CommandError(Exit.USAGE, f"--threads: {error}") from error


def _style_inputs(args: argparse.Namespace) -> tuple[Any, Sequence[Any], Path, dict[str, Any]]:
    """Return content, styles, output and the options given, or raise if they don't make a command."""
    from fastconv.style.algorithm.presets import PRESETS
    from fastconv.style.demo.pictures import DEMO_SIZE, demo_pictures
    from fastconv.style.files import free_name

    options = {name: value for name, value in vars(args).items() if name in _style_defaults()}
    if "demo" in args:
        if args.pictures:
            raise CommandError(Exit.USAGE, f"style: --demo takes no pictures, got {' '.join(args.pictures)}")
        content, style = demo_pictures()
        size = PRESETS.get(options.get("preset", ""), {}).get("size", DEMO_SIZE)
        return content, [style], getattr(args, "output", None) or free_name(Path("demo.png")), {"size": size, **options}
    if len(args.pictures) < 2:
        raise CommandError(
            Exit.USAGE, "style: expected CONTENT STYLE [STYLE ...] -o OUT, or --demo; see fastconv style --help"
        )
    if "output" not in args:
        raise CommandError(Exit.USAGE, "style: expected -o OUT, the picture to make")
    return args.pictures[0], args.pictures[1:], args.output, options
