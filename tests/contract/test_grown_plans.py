"""What is asked of a database that has grown goes by indexes: with rows in it and the figures that it has of them.

`test_query_plans` asks an empty one; a planner that counts may think otherwise. `python -m benchmarks.growth` prints
the plans of a larger one.
"""

from collections.abc import Iterator

import pytest

from benchmarks.growth.filling import Grown, Size, fill
from benchmarks.growth.plans import plans, scans
from tests.support.postgresql_server import PostgresqlServer

# Where another index in the order of ids would read past all that is newer.
NAMED = {
    "list by a state of long ago": "ix_runs_state",
    "list by an experiment of long ago": "ix_runs_experiment",
    "list by experiment and state": "ix_runs_experiment_state",
    "list by a label of long ago": "ix_run_labels_key",
    "list by instance": "ix_runs_instance",
    "list by instance and state": "ix_runs_instance_state",
    "list instances by an experiment of long ago": "ix_instances_experiment",
    "list instances by a label of long ago": "ix_instance_labels_key",
    "claim": "ix_runs_claimable",
    "claim: the runner": "ix_leases_live",
    "live leases of a runner": "ix_leases_live",
    "live leases": "ix_leases_live",
    "overdue leases": "ix_leases_live",
    "purge leases": "ix_leases_ended",
    "hidden runs": "ix_runs_hidden",
}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def found(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, postgresql_server: PostgresqlServer
) -> Iterator[dict[str, str]]:
    size = Size(instances=400, runs=4000)
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('grown') / 'athanor.db'}"
        yield plans(url, checked(fill(url, size, lambda text: None), size))
        return
    name = postgresql_server.create()
    url = postgresql_server.url(name)
    yield plans(url, checked(fill(url, size, lambda text: None), size))
    postgresql_server.drop(name)


def checked(grown: Grown, size: Size) -> Grown:
    assert (len(grown.instances), len(grown.runs)) == (size.instances, size.runs)
    return grown


def test_nothing_reads_a_whole_table(found: dict[str, str]) -> None:
    assert {name: plan for name, plan in found.items() if scans(plan)} == {}


@pytest.mark.parametrize("name", NAMED)
def test_it_goes_by_the_index_that_leads_to_it(found: dict[str, str], name: str) -> None:
    assert NAMED[name] in found[name].split(), found[name]


@pytest.mark.parametrize(
    "line", ["SCAN runs", "        ->  Seq Scan on run_events  (cost=0.00..1)", "Seq Scan on leases l  (cost=0.00..1)"]
)
def test_a_scan_is_noticed(line: str) -> None:
    assert scans(f"Limit\n{line}\n") == [line]
