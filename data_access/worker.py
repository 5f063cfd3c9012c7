"""Work in a process of its own: requests in, progress and results out, as JSON lines.

The process has a low priority and ends with its parent, when its standard input does. What
libraries print goes to standard error. Not multiprocessing: its processes begin by running what
__main__ is, which in a dashboard is the page.
"""

import contextlib
import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, MutableMapping
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Self

from data_access.errors import MisreadError, WorkerError

ROOT = Path(__file__).parent.parent
CODE = "from data_access.worker import main; main()"
NICENESS = 10


class Worker:
    """A process that runs one function for each request, one request at a time.

    function: at the top of a module; called as `function(progress, **request)`. `progress` takes a
    stage, how much of it is done, of how much, and named details. Request, details and result must
    be JSON.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        *,
        single_threaded: bool = False,
        niceness: int = NICENESS,
    ) -> None:
        """single_threaded: numerical libraries use one thread. niceness: 0 as its parent, to 19."""
        environ = dict(os.environ)
        if single_threaded:
            use_one_thread(environ)
        name = f"{function.__module__}:{function.__name__}"
        self._process = subprocess.Popen(
            [sys.executable, "-c", CODE, name, str(Path.cwd()), str(niceness)],
            cwd=ROOT,
            env=environ,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._process.communicate()

    def request(self, progress: Callable[..., None] | None = None, **request: Any) -> Any:
        """The function's result.

        Raises WorkerError where the function fails or the process ends, and what `progress` does.
        """
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(OSError):  # the process has ended: said below
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        for line in self._process.stdout:
            message: dict[str, Any] = json.loads(line)
            if "problem" in message:
                raise WorkerError(message["problem"])
            if "result" in message:
                return message["result"]
            if progress is not None:
                progress(**message["progress"])
        raise WorkerError(
            f"The worker process ended unexpectedly (exit code {self._process.wait()}), possibly "
            "for lack of memory. What was done so far is kept."
        )

    def kill(self) -> None:
        """End the process at once, from any thread; a request under way raises WorkerError."""
        self._process.kill()


def use_one_thread(environ: MutableMapping[str, str] = os.environ) -> None:
    """Have numerical libraries that are not loaded yet use one thread."""
    environ.setdefault("OMP_NUM_THREADS", "1")


def main() -> None:
    """The process: answers each line of standard input, and ends with it."""
    name, folder, niceness = sys.argv[1:]
    sys.path.append(folder)
    if hasattr(os, "nice"):
        os.nice(int(niceness))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends this
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**message: Any) -> None:
        print(json.dumps(message), file=answers, flush=True)

    def progress(stage: str, done: int, total: int, **details: Any) -> None:
        answer(progress={"stage": stage, "done": done, "total": total, **details})

    requests: SimpleQueue[str] = SimpleQueue()
    threading.Thread(target=_read_requests, args=(requests,), daemon=True).start()
    module, _, function = name.partition(":")
    while True:
        request = json.loads(requests.get())
        try:
            run = getattr(importlib.import_module(module), function)
            answer(result=run(progress, **request))
        except MisreadError as error:
            answer(problem=str(error))
        except Exception as error:  # the parent must hear of whatever a function runs into
            traceback.print_exc()
            answer(problem=f"The worker process failed: {type(error).__name__}: {error}")


def _read_requests(requests: "SimpleQueue[str]") -> None:
    for line in sys.stdin:
        requests.put(line)
    os._exit(0)  # whatever the function is doing, or hangs in
