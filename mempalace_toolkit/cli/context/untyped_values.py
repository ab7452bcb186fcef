"""Options that nobody typed, taken as they are: typer loads pydantic to look at any value."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

from mempalace_toolkit.cli.context.help_pages import HelpfulCommand

if TYPE_CHECKING:
    from collections.abc import Callable

_NOT_TYPED = "DEFAULT"


class QuickCommand(HelpfulCommand):
    """A command whose defaults are of the right types: it starts a tenth of a second sooner."""

    def get_params(self, ctx: Any) -> Any:
        """The parameters, that of --help too."""
        parameters = super().get_params(ctx)
        for one in parameters:
            is_plain = not one.required and one.callback is None
            if (is_plain or one.name == "help") and "process_value" not in vars(one):
                one.process_value = partial(_value, one.name, one.process_value)  # type: ignore[method-assign]
        return parameters


def _value(name: str, typed: Callable[[Any, Any], Any], context: Any, value: Any) -> Any:
    source = context.get_parameter_source(name)
    was_typed = source is None or source.name != _NOT_TYPED
    return typed(context, value) if was_typed else value
