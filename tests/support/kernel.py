"""A real Jupyter kernel: cells go in, and what a notebook shows of them comes out.

with Kernel(tmp_path, env) as kernel:
    cell = kernel.start("1 + 1")
    cell.wait()
    cell.shown                                    what it shows, each output as it stands
"""

import queue
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import KernelManager

_TIMEOUT = 60.0  # seconds; the kernel starts an interpreter and imports IPython


class Cell:
    """One cell that was started."""

    def __init__(self, kernel: "Kernel", id: str) -> None:
        self.outputs: dict[str, dict[str, str]] = {}  # what each output shows by now, by display id or by its place
        self.updates = 0  # how often an output was shown anew
        self.error = ""
        self._kernel = kernel
        self._id = id
        self._done = False

    @property
    def shown(self) -> list[dict[str, str]]:
        """The outputs in their order, each by its MIME types."""
        return list(self.outputs.values())

    def wait(self, until: Callable[[], object] = lambda: False) -> None:
        """Return once the condition holds, or the cell has ended; AssertionError when that takes too long."""
        deadline = time.monotonic() + _TIMEOUT
        while not self._done and not until():
            try:
                message = self._kernel.client.get_iopub_msg(timeout=max(0.01, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"the cell did not get there; it shows {self.shown}") from None
            if message["parent_header"].get("msg_id") == self._id:
                self._take(message["msg_type"], message["content"])

    @property
    def ended(self) -> bool:
        """Whether the kernel is done with it, as far as was waited."""
        return self._done

    def _take(self, kind: str, content: Mapping[str, Any]) -> None:
        match kind:
            case "display_data" | "execute_result":
                place = content.get("transient", {}).get("display_id") or f"output {len(self.outputs)}"
                self.outputs[place] = content["data"]
            case "update_display_data":
                place = content["transient"]["display_id"]
                assert place in self.outputs, "what was never shown cannot be shown anew"
                self.outputs[place] = content["data"]
                self.updates += 1
            case "stream":
                self.outputs[f"output {len(self.outputs)}"] = {"text/plain": content["text"]}
            case "error":
                self.error = f"{content['ename']}: {content['evalue']}"
            case "status":
                self._done = content["execution_state"] == "idle"
            case _:
                pass


class Kernel:
    """A kernel in a process of its own, with this interpreter's packages."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        mine = {name: str(folder / "jupyter") for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_DATA_DIR")}
        self._env = {**env, **mine}
        self._folder = folder
        # Without folders of kernels there is one alone: that of this interpreter.
        kernels = KernelSpecManager(kernel_dirs=[])
        self._manager = KernelManager(connection_file=str(folder / "kernel.json"), kernel_spec_manager=kernels)

    def start(self, code: str) -> Cell:
        """Send a cell, and return it as it begins."""
        return Cell(self, self.client.execute(code))

    def run(self, code: str) -> Cell:
        """Run a cell to its end. AssertionError when it raises."""
        cell = self.start(code)
        cell.wait()
        assert not cell.error, cell.error
        return cell

    def interrupt(self) -> None:
        """What the stop button of a notebook does."""
        self._manager.interrupt_kernel()

    def __enter__(self) -> Self:
        self._manager.start_kernel(env=self._env, cwd=str(self._folder))
        self.client = self._manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=_TIMEOUT)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.stop_channels()
        self._manager.shutdown_kernel(now=True)
        self._manager.cleanup_resources()
