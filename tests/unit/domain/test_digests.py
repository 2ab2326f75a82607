"""What events are checked by: the same on both sides of the network."""

from contextlib import closing
from pathlib import Path

from athanor.experiment.spool import SpoolWriter
from athanor_orchestrator.domain import digests


def test_the_checksum_is_crc_32():
    assert digests.checksum(b"123456789") == 0xCBF43926
    assert digests.checksum(b"") == 0


def test_a_chain_is_carried_on_from_where_it_was():
    payloads = [b"a", b"", b"bc" * 1000, b"\x00"]
    whole = digests.chain(digests.START, payloads)
    assert digests.chain(digests.chain(digests.START, payloads[:2]), payloads[2:]) == whole
    assert digests.chain(digests.START, []) == digests.START
    assert digests.chain(digests.START, [b"ab", b"c"]) != digests.chain(digests.START, [b"a", b"bc"])
    assert digests.chain(digests.START, payloads[::-1]) != whole


def test_the_process_of_a_run_chains_the_same(tmp_path: Path):
    payloads = [b"an event", b"another" * 100, b"\x08\x05"]
    with closing(SpoolWriter.open(tmp_path / "spool", 2)) as spool:
        for payload in payloads:
            spool.append([payload])
        assert spool.position.digest == digests.chain(digests.START, payloads)
