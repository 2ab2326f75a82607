"""`python -m athanor_orchestrator`: start, say where, serve until told to stop."""

import asyncio
import gc
import logging
import os
import signal
import sys

# Before grpc is imported: its fork handlers kill children that CPython forks, and what it says of its own about a port
# that is taken is said here, in one line.
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "0")
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from athanor_orchestrator import allocator
from athanor_orchestrator import settings as settings_module
from athanor_orchestrator.domain.errors import AthanorError
from athanor_orchestrator.server import Orchestrator, PortTaken
from athanor_orchestrator.settings import Settings, SettingsError

logger = logging.getLogger("athanor_orchestrator")

WRONG_USE = 2
FAILED = 1


def main() -> None:
    """Run the orchestrator; leaves with 0 after an orderly stop, 1 when it cannot run, 2 for wrong flags."""
    try:
        settings = settings_module.parse(sys.argv[1:], os.environ)
    except SettingsError as error:
        _complain(str(error))
        sys.exit(WRONG_USE)
    allocator.hold_little()
    logging.basicConfig(
        stream=sys.stderr, level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    logger.setLevel(settings.log_level)
    sys.exit(asyncio.run(_serve(settings)))


async def _serve(settings: Settings) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, _on_signal, number, stop)

    orchestrator = Orchestrator(settings)
    try:
        await orchestrator.start()
    except (AthanorError, PortTaken, OSError) as error:
        _complain(_start_error(error, settings))
        return FAILED
    # What is there by now stays: collecting it again and again would hold up everybody for some 25 ms each time.
    gc.collect()
    gc.freeze()
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    sys.stdout.write(f"athanor-orchestrator listening on {host}:{orchestrator.port}\n")
    sys.stdout.flush()

    stopped = asyncio.create_task(stop.wait(), name="wait for a signal")
    failed = asyncio.create_task(orchestrator.failed(), name="watch the loops")
    await asyncio.wait({stopped, failed}, return_when=asyncio.FIRST_COMPLETED)
    died = failed.done()
    if died:
        logger.critical("a part of the orchestrator died; stopping", exc_info=failed.exception())
    else:
        logger.info("stopping")
        failed.cancel()
    stopped.cancel()
    await asyncio.wait({stopped, failed})
    await orchestrator.stop()
    return FAILED if died else 0


def _on_signal(number: signal.Signals, stop: asyncio.Event) -> None:
    if stop.is_set():
        # Nothing is lost by this: what is committed is committed, and nothing else was acknowledged.
        os._exit(128 + number)
    stop.set()


def _start_error(error: Exception, settings: Settings) -> str:
    if isinstance(error, OSError):
        return f"cannot use the data folder {settings.data}: {error.strerror or error}"
    return " ".join(str(error).split())


def _complain(text: str) -> None:
    sys.stderr.write(f"athanor-orchestrator: {text}\n")


if __name__ == "__main__":
    main()
