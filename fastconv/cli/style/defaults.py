"""The defaults of the options, which stand in the signature of `stylize`; it is imported only when they are needed."""

from __future__ import annotations

import argparse
import inspect
from typing import Any


def defaults() -> dict[str, Any]:
    """Return the default of each option, or nothing where the extra of the command is not installed."""
    try:
        from fastconv.style import stylize
    except ModuleNotFoundError:  # help is there without the extra, too
        return {}
    parameters = inspect.signature(stylize).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters if parameter.default is not parameter.empty}


class HelpWithDefaults(argparse.HelpFormatter):
    """Adds the defaults to the help."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        default = defaults().get(action.dest)
        if default is None or isinstance(default, bool) or action.help is None:
            return action.help
        if isinstance(default, tuple):
            default = ",".join(map(str, default))
        return f"{action.help} (default: {default})"
