"""Values that need no look, taken as they are: typer loads pydantic to look at any other.

Those are the options that nobody typed, and typed ones that are words, flags or have a parser
of ours.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import typer

from mempalace_toolkit.cli.context.help_pages import HelpfulCommand, HelpfulGroup

if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_TYPED = "DEFAULT"


class QuickCommand(HelpfulCommand):
    """A command whose defaults are of the right types: it starts a tenth of a second sooner."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, that of --help too."""
        return _quickened(super().get_params(ctx))


class QuickGroup(HelpfulGroup):
    """The same for a group of commands."""

    def get_params(self, ctx: Any) -> Any:
        """The group's own parameters."""
        return _quickened(super().get_params(ctx))


def _quickened(parameters: Any) -> Any:
    for one in parameters:
        if (one.callback is None or one.name == "help") and "process_value" not in vars(one):
            one.process_value = partial(_value, one, one.process_value)
    return parameters


def _value(one: Any, typed: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    source = context.get_parameter_source(one.name)
    if source is not None and source.name == _NOT_TYPED and not one.required:
        return value
    if one.callback is not None:
        return typed(context, value)
    kind = one.type_descriptor
    if isinstance(value, bool) and kind.annotation is bool:
        return value
    if value and isinstance(value, list | tuple) and kind.annotation == list[str]:
        return list(value)
    if not isinstance(value, str):
        return typed(context, value)
    parser = kind.parameter_info.parser
    if parser is None:
        return value if kind.annotation is str else typed(context, value)
    try:
        return parser(value)
    except typer.BadParameter as error:
        error.ctx, error.param = context, one
        raise
