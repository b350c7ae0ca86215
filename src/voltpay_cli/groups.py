"""Groups of commands: each command is imported when it is used, and its help shows examples."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any, ClassVar

import typer
from attrs import field, frozen
from typer.main import get_group

from voltpay_cli.exit_codes import ExitingGroup


def group(**given: Any) -> typer.Typer:
    """The ``app`` of a module: a group, or one command that has the module's name."""
    return typer.Typer(rich_markup_mode=None, **given)


def examples(*lines: str) -> str:
    """The end of a command's help."""
    return "\n".join(["\b", "Examples:", *(f"  {line}" for line in lines)])


@frozen
class LazyCommands(Mapping[str, Any]):
    """Commands by their names: each is made by the module of the same name."""

    _package: str
    _names: tuple[str, ...]
    _found: dict[str, Any] = field(factory=dict, init=False)

    def __getitem__(self, name: str) -> Any:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._found:
            module = import_module(f"{self._package}.{name.replace('-', '_')}")
            found = get_group(module.app)
            self._found[name] = found.commands.get(name, found)
        return self._found[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class LazyGroup(ExitingGroup):
    """A group whose own help imports none of its commands.

    Attributes:
        package: The package of the commands' modules.
        helps: The names of the commands, in order, with their help.
    """

    package: ClassVar[str]
    helps: ClassVar[Mapping[str, str]]

    def __init__(self, **given: Any) -> None:
        super().__init__(**given)
        self.commands = LazyCommands(self.package, tuple(self.helps))  # type: ignore[assignment]

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as typer calls it
        """Write the commands with their help."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.helps.items()))
