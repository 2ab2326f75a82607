"""`athanor instances diff`: where two configurations differ."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from athanor.cli import complete, ids, jsontext, options, output, session

if TYPE_CHECKING:
    from athanor.client import AsyncClient, Difference, InstanceRecord

_STYLES = {"-": "red", "+": "green", "~": "yellow"}


def diff(
    before: Annotated[
        str,
        typer.Argument(
            metavar="A", help="Id of an instance, or the beginning of it.", autocompletion=complete.instances
        ),
    ],
    after: Annotated[str, typer.Argument(metavar="B", help="Id of the other one.", autocompletion=complete.instances)],
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Show where the configurations of two instances differ, value by value, by path.

    `-` is only in A, `+` only in B, `~` in both with different values. The exit status is 0 whether they differ or not:
    with --json `differences` is empty when they do not.

    \b
    For example:
      athanor instances diff 0198c5 0198c7
    """

    async def work(client: "AsyncClient") -> "tuple[InstanceRecord, InstanceRecord]":
        first = await client.instances.get(await ids.instance(client, before))
        return first, await client.instances.get(await ids.instance(client, after))

    one, other = session.run(target, work)
    from athanor.client import paths

    found = paths.diff(one.configuration, other.configuration)
    if json:
        output.document(document(one, other, found))
        return
    _print(f"- {_title(one, other)}", "red")
    _print(f"+ {_title(other, one)}", "green")
    for item in found:
        text = line(item)
        _print(f"  {text}", _STYLES[text[0]])
    if not found:
        output.line("  their configurations are the same")


def line(item: "Difference") -> str:
    """Return a difference in one line."""
    from athanor.client.paths import MISSING

    if item.after is MISSING:
        return f"- {item.name}: {jsontext.dumps(item.before)}"
    if item.before is MISSING:
        return f"+ {item.name}: {jsontext.dumps(item.after)}"
    return f"~ {item.name}: {jsontext.dumps(item.before)} → {jsontext.dumps(item.after)}"


def document(
    before: "InstanceRecord", after: "InstanceRecord", differences: "Sequence[Difference]"
) -> Mapping[str, Any]:
    """Return what --json prints: `path` as people write it and `names` as it is; what is not there has no member."""
    from athanor.client.paths import MISSING

    return {
        "before": before.id,
        "after": after.id,
        "differences": [
            {"path": item.name, "names": list(item.path)}
            | {name: value for name, value in (("before", item.before), ("after", item.after)) if value is not MISSING}
            for item in differences
        ],
    }


def _title(item: "InstanceRecord", other: "InstanceRecord") -> str:
    """Which instance it is; and of which experiment, when that is not the same."""
    experiment = f" of {item.experiment}" if item.experiment != other.experiment else ""
    return f"{item.id}  {item.name}{experiment}".rstrip()


def _print(text: str, style: str) -> None:
    if not output.is_terminal():
        print(text)
        return
    from rich.text import Text

    output.console().print(Text(output.visible(text), style=style), soft_wrap=True)
