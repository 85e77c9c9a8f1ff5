"""How a process of our own loads modules."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager

#: What libraries read from the environment as they are loaded. OpenBLAS would start a thread on every core, for nobody;
#: Arrow's own allocator would keep half a gigabyte of each worker.
OF_A_PROCESS = {"OPENBLAS_NUM_THREADS": "1", "ARROW_DEFAULT_MEMORY_POOL": "system"}


@contextmanager
def loading() -> Iterator[None]:
    """Within it nothing is collected, and nothing that is there at its end ever will be.

    Modules are hundreds of thousands of objects that stay. The collector would walk through all of them again and
    again, in the end once more: half a second of a run. Only for a process of one's own: what its user made before
    would stay too.

    >>> with loading():
    ...     import fractions
    >>> gc.isenabled(), gc.get_freeze_count() > 0
    (True, True)
    >>> gc.unfreeze()
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
