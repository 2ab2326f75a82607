"""Definitions as runners reported them, and the modules that they could not load."""

import hashlib
from collections import defaultdict
from collections.abc import Collection
from dataclasses import replace
from typing import Any

from sqlalchemy import bindparam, delete, select

from athanor_orchestrator.domain.records import CodeVersion, DiscoveryError, Experiment
from athanor_orchestrator.storage.aliases import AnyRow
from athanor_orchestrator.storage.columns import clean, code_columns, code_of, policy_columns, policy_of
from athanor_orchestrator.storage.pages import Page, cut
from athanor_orchestrator.storage.schema import discovery_errors, experiments, runner_experiments, runners
from athanor_orchestrator.storage.transaction import Transaction

# What a runner reported counts while it is connected, in the session in which it reported it.
_REPORTED = (runner_experiments.c.runner_id == runners.c.id) & (
    runner_experiments.c.session_number == runners.c.session_number
)

# On the way of every launch: made once, because making a statement costs as much as carrying it out.
_GET = select(experiments).where(experiments.c.name == bindparam("experiment"))


def upsert_experiment(tx: Transaction, experiment: Experiment, runner_id: str) -> bool:
    """Remember that the runner has this definition, under its present session, and make it the newest when it is news.

    It is news when this runner did not say the same the last time: a runner with older code that merely reconnects
    does not replace what another one reported after it. Create and update times are the database's; derived fields
    are ignored. Tells whether the newest definition changed.
    """
    said_before = _remember(tx, experiment, runner_id)
    known = tx.connection.execute(
        select(experiments).where(experiments.c.name == experiment.name).with_for_update()
    ).one_or_none()
    if known is not None and (said_before or _same(_experiment(known), experiment)):
        return False

    columns = _columns(experiment)
    added = tx.dialect.upsert(experiments).values(
        name=experiment.name, create_time_us=tx.now_us, update_time_us=tx.now_us, **columns
    )
    tx.connection.execute(
        added.on_conflict_do_update(index_elements=[experiments.c.name], set_={**columns, "update_time_us": tx.now_us})
    )
    return True


def _remember(tx: Transaction, experiment: Experiment, runner_id: str) -> bool:
    """Note what the runner has; True when it is what it had the last time."""
    digest = hashlib.sha256(repr(sorted(_columns(experiment).items())).encode()).digest()
    mine = (runner_experiments.c.runner_id == runner_id) & (runner_experiments.c.experiment == experiment.name)
    before = tx.connection.execute(select(runner_experiments.c.definition_hash).where(mine)).scalar_one_or_none()
    columns = {
        "session_number": _session(tx, runner_id),
        "definition_hash": digest,
        **code_columns(experiment.code),
    }
    added = tx.dialect.upsert(runner_experiments).values(runner_id=runner_id, experiment=experiment.name, **columns)
    tx.connection.execute(
        added.on_conflict_do_update(
            index_elements=[runner_experiments.c.runner_id, runner_experiments.c.experiment], set_=columns
        )
    )
    return before == digest


def _session(tx: Transaction, runner_id: str) -> int:
    number = tx.connection.execute(
        select(runners.c.session_number).where(runners.c.id == runner_id)
    ).scalar_one_or_none()
    return 0 if number is None else number


def remove_definition(tx: Transaction, runner_id: str, name: str) -> bool:
    """Forget that the runner has this experiment; the definition itself stays. Tells whether the runner had it."""
    mine = (runner_experiments.c.runner_id == runner_id) & (runner_experiments.c.experiment == name)
    return tx.connection.execute(delete(runner_experiments).where(mine)).rowcount > 0


def get_experiment(tx: Transaction, name: str) -> Experiment | None:
    """Return the newest definition with `other_versions` and `available_runner_count` of connected runners."""
    row = tx.connection.execute(_GET, {"experiment": name}).one_or_none()
    return None if row is None else _with_fleet(tx, [row])[0]


def get_definition(tx: Transaction, name: str) -> Experiment | None:
    """Return the newest definition by itself: derived fields are empty."""
    row = tx.connection.execute(_GET, {"experiment": name}).one_or_none()
    return None if row is None else _experiment(row)


def list_experiments(tx: Transaction, after_name: str, limit: int) -> Page[Experiment]:
    """Return definitions in the order of their names, those behind `after_name` ("" for the first page)."""
    rows = tx.connection.execute(
        select(experiments).where(experiments.c.name > after_name).order_by(experiments.c.name).limit(limit + 1)
    ).all()
    page = cut(rows, limit)
    return Page(_with_fleet(tx, page.items), page.more)


def experiments_of_runner(tx: Transaction, runner_id: str) -> dict[str, CodeVersion]:
    """Return what the runner reported in its present session: the code of each experiment, by name."""
    rows = tx.connection.execute(
        select(runner_experiments).join(runners, _REPORTED).where(runner_experiments.c.runner_id == runner_id)
    )
    return {row.experiment: code_of(row) for row in rows}


def put_discovery_error(tx: Transaction, runner_id: str, error: DiscoveryError) -> None:
    """Remember a module that the runner could not load, under its present session; a later one replaces it."""
    columns = {"session_number": _session(tx, runner_id), "error": clean(error.error)}
    added = tx.dialect.upsert(discovery_errors).values(runner_id=runner_id, module=clean(error.module), **columns)
    tx.connection.execute(
        added.on_conflict_do_update(
            index_elements=[discovery_errors.c.runner_id, discovery_errors.c.module], set_=columns
        )
    )


def clear_discovery(tx: Transaction, runner_id: str, module: str | None = None) -> None:
    """Forget the runner's discovery error of `module`, or all of them."""
    unwanted = delete(discovery_errors).where(discovery_errors.c.runner_id == runner_id)
    if module is not None:
        unwanted = unwanted.where(discovery_errors.c.module == clean(module))
    tx.connection.execute(unwanted)


def list_discovery_errors(tx: Transaction, limit: int = 1000) -> list[DiscoveryError]:
    """Return what connected runners could not load, in the order of module and runner."""
    rows = tx.connection.execute(
        select(discovery_errors)
        .join(
            runners,
            (discovery_errors.c.runner_id == runners.c.id)
            & (discovery_errors.c.session_number == runners.c.session_number),
        )
        .where(runners.c.connected)
        .order_by(discovery_errors.c.module, discovery_errors.c.runner_id)
        .limit(limit)
    )
    return [DiscoveryError(row.module, row.error, row.runner_id) for row in rows]


def _with_fleet(tx: Transaction, rows: Collection[AnyRow]) -> list[Experiment]:
    """Make experiments of rows, with what connected runners have of them."""
    found: dict[str, list[CodeVersion]] = defaultdict(list)
    for row in tx.connection.execute(
        select(runner_experiments)
        .join(runners, _REPORTED)
        .where(runners.c.connected, runner_experiments.c.experiment.in_([row.name for row in rows]))
        .order_by(runner_experiments.c.runner_id)
    ):
        found[row.experiment].append(code_of(row))
    made: list[Experiment] = []
    for row in rows:
        experiment = _experiment(row)
        codes = found[experiment.name]
        others = tuple(dict.fromkeys(code for code in codes if code != experiment.code))
        made.append(replace(experiment, other_versions=others, available_runner_count=len(codes)))
    return made


def _columns(experiment: Experiment) -> dict[str, Any]:
    return {
        "title": clean(experiment.title),
        "description": clean(experiment.description),
        "configuration_schema_json": experiment.configuration_schema_json,
        "default_configuration_json": experiment.default_configuration_json,
        **code_columns(experiment.code),
        **policy_columns(experiment.default_policy),
    }


def _same(known: Experiment, reported: Experiment) -> bool:
    return _columns(known) == _columns(reported)


def _experiment(row: AnyRow) -> Experiment:
    return Experiment(
        name=row.name,
        title=row.title,
        description=row.description,
        configuration_schema_json=row.configuration_schema_json,
        default_configuration_json=row.default_configuration_json,
        code=code_of(row),
        default_policy=policy_of(row),
        create_time_us=row.create_time_us,
        update_time_us=row.update_time_us,
    )
