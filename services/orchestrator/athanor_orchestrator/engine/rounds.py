"""Loops that outlive their failures: what goes wrong in one round is logged, and the next round comes."""

import logging
from collections.abc import Awaitable, Callable

from athanor_orchestrator.domain.errors import StorageUnavailable

logger = logging.getLogger(__name__)


async def attempt_round(name: str, round: Callable[[], Awaitable[object]]) -> bool:
    """Do one round of a loop; False when it failed, with the reason in the log."""
    try:
        await round()
    except StorageUnavailable as error:
        logger.warning("%s: the database is not available: %s", name, error)
        return False
    except Exception:
        logger.exception("%s failed; it goes on with its next round", name)
        return False
    return True
