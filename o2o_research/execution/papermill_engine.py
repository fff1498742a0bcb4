"""``papermill --engine o2o``: papermill's own road, with our process instead of a kernel start."""

from __future__ import annotations

import sys
import warnings
from pathlib import Path

from o2o_research.execution import engine

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel
    from nbclient.exceptions import CellTimeoutError, DeadKernelError
    from papermill.clientwrap import PapermillNotebookClient
    from papermill.engines import NBClientEngine
    from papermill.log import logger
    from papermill.utils import merge_kwargs, remove_args


class WarmEngine(NBClientEngine):  # type: ignore[misc]
    """papermill's default engine, but for the kernel: forked from a warm process.

    Takes the default engine's options, and ``run_timeout`` (seconds) and ``memory_mb``. Where runs
    cannot be forked, or the kernel is another than this Python, papermill's own engine runs.
    """

    @classmethod
    def execute_managed_notebook(  # type: ignore[no-untyped-def]
        cls,
        nb_man,
        kernel_name,
        log_output=False,
        stdout_file=None,
        stderr_file=None,
        start_timeout=60,
        execution_timeout=None,
        run_timeout=None,
        memory_mb=None,
        **kwargs,
    ):
        options = {
            "log_output": log_output,
            "stdout_file": stdout_file,
            "stderr_file": stderr_file,
        }
        if not engine.available() or not _this_python(kernel_name):
            logger.info("o2o: no warm process for this kernel; papermill starts one")
            return super().execute_managed_notebook(
                nb_man,
                kernel_name,
                start_timeout=start_timeout,
                execution_timeout=execution_timeout,
                **options,
                **kwargs,
            )
        final = merge_kwargs(
            remove_args(["input_path", "timeout", "startup_timeout"], **kwargs),
            timeout=execution_timeout if execution_timeout else kwargs.get("timeout"),
            kernel_name=kernel_name,
            log=logger,
            **options,
        )
        ending = engine.execute(
            nb_man.nb,
            manager=nb_man,
            client=lambda: PapermillNotebookClient(nb_man, **final),
            limits=engine.Limits(run_seconds=run_timeout, memory_mb=memory_mb),
        )
        if ending.state == "interrupted":
            raise KeyboardInterrupt
        # A notebook that failed is papermill's to raise for, once it is saved.
        if ending.state != "ok" and ending.error is None:
            raise (CellTimeoutError if ending.state == "timeout" else DeadKernelError)(ending.why)
        nb_man.nb.metadata["language_info"] = engine.language_info()
        return nb_man.nb


def _this_python(kernel_name: str) -> bool:
    """Whether a kernel's specification starts ipykernel in the Python that runs now."""
    try:
        spec = KernelSpecManager().get_kernel_spec(kernel_name)
    except NoSuchKernel:
        return False
    first = Path(spec.argv[0])
    same = first.name in ("python", "python3") and not first.is_absolute()
    return "ipykernel_launcher" in " ".join(spec.argv) and (
        same or first.absolute() == Path(sys.executable).absolute()
    )
