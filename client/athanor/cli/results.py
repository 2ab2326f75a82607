"""`athanor results`: what a run has found."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from athanor.cli import exits, ids, jsontext, last, options, output, session, shapes, words

if TYPE_CHECKING:
    from athanor.client import AsyncClient, AsyncListing, Result, RunRecord

_END = 20  # results that a terminal shows of the first, and of the last
_NAMED = 8  # keys in a message
_PAGES = 10  # of results in which they are looked for
_GAP = 2  # columns of the terminal behind each column of a table
_WRAPPED = 20  # to which text in the last column may be wrapped
_READ = 1000  # results that are all read for it, and in a page; of more only the ends


@dataclass(frozen=True)
class Found:
    """The results that are shown, and how many there are between the first and the last of them."""

    first: "Sequence[Result]"
    between: int = 0
    last: "Sequence[Result]" = ()


def results(
    run: options.RunId,
    key: Annotated[str, typer.Option("--key", metavar="KEY", help="Only results with this key.")] = "",
    superseded: Annotated[bool, typer.Option("--superseded", help="Also those a later attempt superseded.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", "-a", help="On a terminal too, all of them, not the first and the last.")
    ] = False,
    target: options.Target = None,
    json: options.Json = False,
) -> None:
    """Print the results of a run that stand. In a pipe: key, tab, value as JSON; behind one that does not, a tab and
    `superseded`.

    On a terminal they are tables, of very many the first and the last; with --key each value is shown whole.
    """
    drawn = output.is_terminal() and not json
    whole = everything or not drawn

    async def work(client: "AsyncClient") -> "tuple[RunRecord, Found]":
        run_id = await ids.run(client, run)
        listing = client.runs.results(run_id, key=key, include_superseded=superseded)
        if not whole and not key and not superseded:
            ran = await client.runs.get(run_id)
            if ran.result_count > _READ and (found := await _ends(client, ran)):
                return ran, found
        items = await listing.all()
        if key and not items:
            there = await _keys(client.runs.results(run_id, include_superseded=superseded, page_size=_READ))
            session.fail(f"no result has the key {key!r}; there are {there}", exits.REFUSED)
        return await client.runs.get(run_id), Found(items) if whole else ends(items)

    ran, found = session.run(target, work)
    if json:
        output.document({"run_id": ran.id, "results": [shapes.result(item) for item in found.first]})
    elif not drawn:
        for item in found.first:
            mark = ("superseded",) if item.superseded else ()
            print(item.key, jsontext.dumps(jsontext.Raw(item.value_json)), *mark, sep="\t")
    else:
        draw(found, whole=bool(key))
    output.caution(words.incomplete(ran))


async def _ends(client: "AsyncClient", ran: "RunRecord") -> Found | None:
    """The ends of very many results without those between; None when these cannot be told from the others."""
    newest = await last.newest(client, ran, _END)
    first = await _first(client.runs.results(ran.id, page_size=_END))
    if not (first and newest) or newest[0].sequence <= first[-1].sequence:
        return None
    return Found(first, ran.result_count - len(first) - len(newest), newest)


async def _keys(listing: "AsyncListing[Result]") -> str:
    """Name the first keys of a run, by its first results: it may have millions."""
    keys, more, pages = dict[str, None](), False, 0
    async for page in listing.pages():
        keys |= dict.fromkeys(item.key for item in page.items)
        pages += 1
        more = len(keys) > _NAMED or (pages == _PAGES and bool(page.next_page_token))
        if more:
            break
    return ", ".join(list(keys)[:_NAMED]) + " and more" * more or "none"


async def _first(listing: "AsyncListing[Result]") -> "Sequence[Result]":
    async for page in listing.pages():
        return page.items
    return ()


def ends(items: "Sequence[Result]") -> Found:
    """The first and the last of many, all of few."""
    if len(items) <= 2 * _END:
        return Found(items)
    return Found(items[:_END], len(items) - 2 * _END, items[-_END:])


def draw(found: Found, *, whole: bool) -> None:
    """Print results for a person: as tables, or each of them `whole`."""
    put = show_whole if whole else show
    put(found.first)
    if found.between:
        output.line(f"\n… {words.count(found.between, 'result')} between: --all shows them\n")
        put(found.last)
    hidden = [item.key for item in (*found.last, *found.first) if _hides(item)]
    if hidden and not whole:
        output.note(f"\nWhat is nested is left out: --key {shlex.quote(hidden[0])} shows all of that.")


def show_whole(items: "Sequence[Result]") -> None:
    """Print results with all that is in them, what is nested on lines of its own."""
    output.fields([(_name(item), _whole(item)) for item in items])


def show(items: "Sequence[Result]") -> None:
    """Print results as tables, those with the same members in one. What is inside of a member is left out."""
    groups: dict[tuple[str, ...] | None, list[Result]] = {}
    for item in items:
        groups.setdefault(_members(item), []).append(item)
    for index, (members, group) in enumerate(groups.items()):
        if index:
            output.line()
        if members is None:
            _table(("RESULT", "VALUE"), [(_name(item), brief(item.value)) for item in group])
        else:
            rows = [(_name(item), *(brief(item.value[name]) for name in members)) for item in group]
            _table(("RESULT", *members), rows)


def _table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table; on a terminal without room for it the cells of each row one below another: half of a number is
    another number. Text in the last column may be wrapped.
    """
    widths = [max(words.width(row[place]) for row in (columns, *rows)) for place in range(len(columns))]
    widths[-1] = max(words.width(columns[-1]), *(_least(row[-1]) for row in rows))
    if not output.is_terminal() or sum(widths) + _GAP * len(widths) <= output.console().width:
        output.table(columns, rows)
        return
    for name, *cells in rows:
        output.line(name)
        _fields(columns[1:], [cell.replace("\n", " ") for cell in cells], output.console().width)


def _fields(names: Sequence[str], cells: Sequence[str], room: int) -> None:
    """Print each cell behind its name, or below it where both have no room on a line."""
    short = [words.width(name) for name, cell in zip(names, cells, strict=True) if _beside(name, cell) <= room]
    wide = max(short, default=0)
    for name, cell in zip(names, cells, strict=True):
        if _beside(name, cell) <= room and _GAP + wide + _GAP + words.width(cell) <= room:
            output.line(f"  {name}{' ' * (wide - words.width(name))}  {cell}")
        else:
            output.line(f"  {name}\n    {cell}")


def _least(cell: str) -> int:
    """How narrow the last column may be for it."""
    is_text = " " in cell and not cell.startswith("[")
    return min(_WRAPPED, words.width(cell)) if is_text else words.width(cell)


def _beside(name: str, cell: str) -> int:
    return 2 * _GAP + words.width(name) + words.width(cell)


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


def _whole(item: "Result") -> str:
    return item.value if isinstance(item.value, str) and item.value else output.pretty(item.value_json)


def _hides(item: "Result") -> bool:
    """Whether its row in a table does not have all of it."""
    if not item.value:
        return False
    if _members(item):
        return any(map(_is_large, cast("Mapping[str, Any]", item.value).values()))
    return _is_large(item.value)


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
