"""From what a verification found to the messages of athanor.v1."""

from athanor.v1 import run_service_pb2, verification_pb2

from athanor_orchestrator.domain.certificate import AttemptFinding, Certificate, Fault, Verdict


def certificate(record: Certificate) -> run_service_pb2.VerifyRunResponse:
    """Convert a certificate."""
    return run_service_pb2.VerifyRunResponse(
        verdict=_verdict(record.verdict),
        last_sequence=record.last_sequence,
        event_count=record.event_count,
        attempts=[_finding(finding) for finding in record.attempts],
        faults=[_fault(fault) for fault in record.faults],
        more_fault_count=record.more_fault_count,
    )


def _verdict(verdict: Verdict) -> verification_pb2.Verdict.ValueType:
    return verification_pb2.Verdict.ValueType(verdict)


def _finding(record: AttemptFinding) -> verification_pb2.AttemptFinding:
    return verification_pb2.AttemptFinding(
        number=record.number,
        verdict=_verdict(record.verdict),
        event_count=record.event_count,
        first_sequence=record.first_sequence,
        last_sequence=record.last_sequence,
        digest=record.digest,
        log_complete=record.log_complete,
        detail=record.detail,
    )


def _fault(record: Fault) -> verification_pb2.LogFault:
    return verification_pb2.LogFault(
        kind=verification_pb2.LogFault.Kind.ValueType(record.kind),
        first_sequence=record.first_sequence,
        last_sequence=record.last_sequence,
        attempt=record.attempt,
        detail=record.detail,
    )
