"""`athanor results`: what a run has found."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from athanor.cli import ids, jsontext, options, output, session, shapes, words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, Result, RunRecord


def results(
    run: options.RunId,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="Only results with this key.")] = "",
    superseded: Annotated[bool, typer.Option("--superseded", help="Also those a later attempt superseded.")] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Print the results of a run that stand. In a pipe: key, tab, value as JSON; behind one that does not, a tab and
    `superseded`.
    """

    async def work(client: "AsyncClient") -> "tuple[RunRecord, list[Result]]":
        run_id = await ids.run(client, run)
        items = await client.runs.results(run_id, key=key, include_superseded=superseded).all()
        return await client.runs.get(run_id), items

    ran, items = session.run(target, work)
    if json:
        output.document({"run_id": ran.id, "results": [shapes.result(item) for item in items]})
    elif not output.is_terminal():
        for item in items:
            mark = ("superseded",) if item.superseded else ()
            print(item.key, jsontext.dumps(jsontext.Raw(item.value_json)), *mark, sep="\t")
    else:
        show(items)
    output.caution(words.incomplete(ran))


def show(items: "Sequence[Result]") -> None:
    """Print results as tables, those with the same members in one. What is inside of a member is left to --json."""
    groups: dict[tuple[str, ...] | None, list[Result]] = {}
    for item in items:
        groups.setdefault(_members(item), []).append(item)
    for index, (members, group) in enumerate(groups.items()):
        if index:
            output.line()
        if members is None:
            output.table(("RESULT", "VALUE"), [(_name(item), brief(item.value)) for item in group])
        else:
            rows = [(_name(item), *(brief(item.value[name]) for name in members)) for item in group]
            output.table(("RESULT", *members), rows)


def brief(value: Any) -> str:
    """A value in a cell: a structure only by its size, a number to four digits."""
    match value:
        case float():
            return f"{value:.4g}"
        case str():
            return value
        case Mapping():
            return f"{{{len(cast('Mapping[str, Any]', value))} members}}"
        case list():
            items = cast("list[Any]", value)
            return f"[{', '.join(map(brief, items))}]" if _is_short(items) else f"[{len(items)} items]"
        case _:
            return jsontext.dumps(value)


def _name(item: "Result") -> str:
    return f"{item.key} (superseded)" if item.superseded else item.key


def _is_short(items: list[Any]) -> bool:
    return len(items) <= 4 and all(isinstance(item, (int, float, str)) for item in items)


def _members(item: "Result") -> tuple[str, ...] | None:
    """The columns for this result: its members but for large ones; None when it does not fit into columns."""
    value: Any = item.value
    if not isinstance(value, Mapping):
        return None
    members = cast("Mapping[str, Any]", value)
    names = tuple(name for name, inner in members.items() if not _is_large(inner))
    return names if 0 < len(names) <= 12 else None


def _is_large(value: Any) -> bool:
    return isinstance(value, Mapping) or (isinstance(value, list) and not _is_short(cast("list[Any]", value)))
