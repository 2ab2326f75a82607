"""Experiments for tests of the runner, written to a folder of their own: each ends in a way of its own."""

from pathlib import Path

SOURCE = '''
import ctypes, os, resource, signal, subprocess, sys, threading, time
from pathlib import Path
from athanor.experiment import RunContext, experiment
from pydantic import BaseModel


class Nothing(BaseModel):
    pass


class Settings(BaseModel):
    count: int = 100
    size: int = 10
    pause: float = 0.0
    folder: str = ""


def say(text):
    os.write(2, text.encode() + b"\\n")


@experiment
def returns(ctx: RunContext[Nothing]) -> None:
    ctx.result("answer", 42)
    ctx.info("about to return")


@experiment
def resumes(ctx: RunContext[Nothing]) -> None:
    restored = ctx.restored
    ctx.result("restored", [len(restored), restored[:1], restored[-1:]])
    ctx.checkpoint(restored[::-1])


@experiment
def raises(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to raise")
    raise ValueError("this is wrong")


@experiment
def fails(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to fail")
    ctx.fail("no sense")


@experiment
def completes_then_raises(ctx: RunContext[Nothing]) -> None:
    try:
        ctx.info("about to complete")
        ctx.complete()
    finally:
        raise RuntimeError("while leaving")


@experiment
def exits(ctx: RunContext[Nothing]) -> None:
    say("about to leave")
    os._exit(3)


@experiment
def segfaults(ctx: RunContext[Nothing]) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    ctx.info("about to read address 0")
    ctypes.string_at(0)


@experiment
def kills_itself(ctx: RunContext[Nothing]) -> None:
    ctx.info("about to be killed")
    os.kill(os.getpid(), signal.SIGKILL)


@experiment
def deaf(ctx: RunContext[Nothing]) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1, flush=True); time.sleep(600)"
    shell = subprocess.Popen(
        ["/bin/sh", "-c", f"setsid {sys.executable} -c '{code}' & wait"], stdout=subprocess.PIPE
    )
    shell.stdout.readline()
    ctx.info("deaf")
    while True:
        time.sleep(1)


@experiment
def leaves_others(ctx: RunContext[Nothing]) -> None:
    """One in its own session, one that was orphaned and lost its environment too."""
    subprocess.Popen(["sleep", "601"], start_new_session=True)
    subprocess.Popen(["/bin/sh", "-c", "env -i setsid sleep 602 & sleep 0.5"]).wait()
    ctx.info("left two")


@experiment
def sleeps(ctx: RunContext[Nothing]) -> None:
    ctx.info("one second is not enough")
    time.sleep(600)


@experiment
def floods(ctx: RunContext[Settings]) -> None:
    libc = ctypes.CDLL(None)
    for number in range(ctx.config.count):
        libc.printf(b"%07d %s\\n", ctypes.c_int(number), b"x" * 91)
    libc.fflush(None)


@experiment
def floods_and_exits(ctx: RunContext[Settings]) -> None:
    data = b"".join(b"%07d %s\\n" % (number, b"x" * 91) for number in range(ctx.config.count))
    while data:
        data = data[os.write(1, data):]
    os._exit(3)


@experiment
def threads(ctx: RunContext[Nothing]) -> None:
    def work(thread):
        for number in range(200):
            ctx.info(f"{thread}/{number}")

    workers = [threading.Thread(target=work, args=(thread,)) for thread in range(8)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    ctx.info("all done")


@experiment
def forks(ctx: RunContext[Nothing]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            ctx.info("from the child")
        except Exception:
            pass
        os._exit(0)
    os.waitpid(pid, 0)
    ctx.info("the parent goes on")


@experiment
def heeds(ctx: RunContext[Nothing]) -> None:
    ctx.info("waiting")
    while not ctx.cancelled:
        time.sleep(0.005)
    ctx.info("leaving early")


@experiment
def tracks(ctx: RunContext[Nothing]) -> None:
    ctx.info("waiting")
    for _ in ctx.track(range(100_000)):
        time.sleep(0.005)


@experiment
def logs(ctx: RunContext[Settings]) -> None:
    for number in range(ctx.config.count):
        ctx.log("info", f"{number} " + "y" * ctx.config.size)
        if ctx.config.pause:
            time.sleep(ctx.config.pause)


@experiment
def logs_and_results(ctx: RunContext[Settings]) -> None:
    for number in range(ctx.config.count):
        ctx.log("info", f"{number} " + "y" * ctx.config.size)
        if number % 100 == 0:
            ctx.result("at", number)
    if ctx.config.folder:
        Path(ctx.config.folder, "all").touch()
        time.sleep(600)


@experiment
def waits_for_go(ctx: RunContext[Settings]) -> None:
    ctx.info("ready")
    while not Path(ctx.config.folder, "go").exists():
        time.sleep(0.005)
    ctx.info("gone")


@experiment
def says_and_waits(ctx: RunContext[Settings]) -> None:
    ctx.info("ready")
    for number in range(ctx.config.count):
        say(f"{number} last words " + "x" * ctx.config.size)
    ctx.progress(1)
    while not Path(ctx.config.folder, "go").exists():
        time.sleep(0.005)
    os._exit(3)


@experiment
def environment(ctx: RunContext[Nothing]) -> None:
    ctx.result("environment", dict(os.environ))
    ctx.result("open", sorted(os.listdir("/proc/self/fd")))
    ctx.result("modules", [name for name in ("grpc", "google.protobuf") if name in sys.modules])
    ctx.result("ids", [os.getpid(), os.getpgid(0), os.getsid(0)])


@experiment
def hangs_after_its_end(ctx: RunContext[Nothing]) -> None:
    threading.Thread(target=time.sleep, args=(600,)).start()
    ctx.info("a thread goes on")
'''

MISSING = """
from athanor.experiment import RunContext, experiment
import os
if os.environ.get("ATHANOR_LEASE_ID", "").startswith("describe"):
    pass
else:
    import there_is_no_such_module


@experiment
def imports_missing(ctx: RunContext[dict]) -> None:
    pass
"""


def write_experiments(folder: Path) -> None:
    """Writes them to `folder`/experiments."""
    code = folder / "experiments"
    code.mkdir()
    (code / "endings.py").write_text(SOURCE)
    (code / "missing_at_start.py").write_text(MISSING)
    (code / "broken.py").write_text("import there_is_no_such_module\n")
