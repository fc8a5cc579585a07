"""Work given to a dask cluster, and what can be wrong with one said in a sentence. The only use of dask."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager
from importlib import import_module
from importlib.util import find_spec
from itertools import islice
from typing import Any

from nmcheck.errors import BankError

PATIENCE = 10
"""Seconds to wait for a scheduler."""
_START = 3
"""How many times as long to wait for a worker: one that died is started anew in that time."""


def check_scheduler(scheduler: str, patience: int = PATIENCE) -> None:
    """See whether a cluster can be given work, before hours go into what comes first.

    Raises:
        BankError: as of ``connected``.
    """
    with connected(scheduler, patience):
        pass


@contextmanager
def connected(scheduler: str, patience: int) -> Iterator[Any]:
    """A client of a cluster that has a worker, and on which every process has this nmcheck and this torch.

    Args:
        scheduler: its address.
        patience: seconds to wait for the scheduler to answer; a worker is waited for three times as long.

    Raises:
        BankError: dask is not installed, nothing answers, there is no worker, or another version is installed there.
    """
    with _client(scheduler, patience) as client:
        try:
            client.wait_for_workers(1, timeout=_START * patience)
        except TimeoutError as error:
            raise _no_worker(scheduler) from error
        _check_versions(client, scheduler)
        yield client


def made_there(
    scheduler: str, patience: int, function: Callable[..., Any], shared: bytes, tasks: Iterable[tuple[Any, ...]]
) -> Iterator[Any]:
    """``function(shared, *task)`` of all tasks, computed by a cluster, in the order in which they are done.

    By dask's own futures, for joblib's backend was seen to wait for ever after the death of a worker.

    Args:
        scheduler: address of the cluster.
        patience: seconds to wait for it.
        function: of a module that the workers have.
        shared: sent to every worker once.
        tasks: the other arguments.

    Raises:
        BankError: as of ``connected``, or the scheduler cannot read the tasks.
    """
    with connected(scheduler, patience) as client:
        from distributed import as_completed  # pyright: ignore[reportMissingImports]

        waiting = iter(tasks)
        try:
            held = client.scatter(shared, broadcast=True, hash=False)
        except TimeoutError as error:  # the last worker has gone
            raise _no_worker(scheduler) from error

        def submit(count: int) -> list[Any]:
            return [client.submit(function, held, *task, pure=False) for task in islice(waiting, count)]

        # Results wait in the workers' memory until they are fetched: no more are begun than keep all workers busy.
        running = as_completed(submit(3 * max(1, len(client.nthreads()))), with_results=True)
        try:
            for _, result in running:
                running.update(submit(1))
                yield result
        except RuntimeError as error:
            if "deserialization of the task graph" not in str(error):
                raise
            raise BankError(
                f"--scheduler {scheduler}: the scheduler cannot read what nmcheck sends; install the same versions of "
                "nmcheck, torch and distributed there as here."
            ) from error


def deaths() -> tuple[type[BaseException], ...]:
    """How the death of a worker shows, also as the loss of what it held."""
    try:
        from distributed import KilledWorker  # pyright: ignore[reportMissingImports]
        from distributed.comm import CommClosedError  # pyright: ignore[reportMissingImports]
    except ImportError:
        return ()
    return (CancelledError, CommClosedError, KilledWorker)


def _check_versions(client: Any, scheduler: str) -> None:
    """Refuse a cluster on which another program would compute.

    The scheduler reads the tasks as well. dask's own ``get_versions`` knows installed packages only.
    """
    there = {"the scheduler": client.run_on_scheduler(_installed())}
    # What a worker that dies meanwhile has does not matter.
    there |= {f"the worker {address}": found for address, found in client.run(_installed(), on_error="ignore").items()}
    for where, found in there.items():
        for name, wanted in _installed()().items():
            if found[name] != wanted:
                has = "has no" if found[name] is None else f"has {found[name]} of"
                raise BankError(
                    f"--scheduler {scheduler}: {where} {has} {name}, and here it is {wanted}; install {name} {wanted} "
                    "there (pip install 'nmcheck[dask]'), or leave --scheduler out."
                )


def _installed() -> Callable[[], dict[str, str | None]]:
    """What tells the versions where it runs: without a name, so that it is sent as code and needs no nmcheck there."""
    return lambda: {
        name: import_module(name).__version__ if find_spec(name) is not None else None for name in ("nmcheck", "torch")
    }


def _no_worker(scheduler: str) -> BankError:
    return BankError(
        f"--scheduler {scheduler}: no worker is connected to that scheduler; start one with dask worker {scheduler} "
        "--nthreads 1."
    )


def _client(scheduler: str, patience: int) -> Any:
    try:
        from distributed import Client  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise BankError("--scheduler needs dask; install it with pip install 'nmcheck[dask]'.") from error
    try:
        return Client(scheduler, timeout=patience, set_as_default=True)
    except (OSError, ValueError) as error:
        raise BankError(
            f"--scheduler {scheduler}: no dask scheduler answers there; start one with dask scheduler, and give the "
            "address it prints."
        ) from error
    except (TypeError, ImportError, RuntimeError) as error:
        what = (
            "tls:// needs certificates, and dask's configuration names none; set distributed.comm.tls there "
            "(docs/cluster.md)"
            if scheduler.startswith(("tls:", "wss:"))
            else "dask cannot use such an address here; give one that starts with tcp://"
        )
        raise BankError(f"--scheduler {scheduler}: {what}.") from error
