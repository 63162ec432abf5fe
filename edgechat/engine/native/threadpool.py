"""ggml's thread pool, kept as long as a context.

Without one, llama.cpp creates and ends its threads for every graph, that is for every token: 0.98 of the speed on a
quiet machine and 0.1-0.5 on a busy one (SmolLM2-135M, 2 threads, x86-64). llama-cpp-python has no bindings for it, so
the functions are asked of the CPU backend.
"""

from __future__ import annotations

import ctypes

from edgechat.engine.native.backends import cpu_function
from edgechat.engine.native.lib import llama
from edgechat.errors import EngineError

_MAX_THREADS = 512  # GGML_MAX_N_THREADS


class _Params(ctypes.Structure):
    """struct ggml_threadpool_params of ggml.h."""

    _fields_ = (
        ("cpumask", ctypes.c_bool * _MAX_THREADS),
        ("n_threads", ctypes.c_int),
        ("prio", ctypes.c_int),
        ("poll", ctypes.c_uint32),
        ("strict_cpu", ctypes.c_bool),
        ("paused", ctypes.c_bool),
    )


_New = ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.POINTER(_Params))
_Free = ctypes.CFUNCTYPE(None, ctypes.c_void_p)


class ThreadPool:
    """A pool of ``n_threads`` threads; a step may use fewer.

    Args:
        context: handle of a llama.cpp context, which uses the pool until :meth:`close`.
        n_threads: number of threads, the calling one included.
    """

    def __init__(self, context: object, n_threads: int) -> None:
        self._library = llama._lib
        defaults = self._library.ggml_threadpool_params_default
        defaults.restype, defaults.argtypes = _Params, (ctypes.c_int,)
        self._library.llama_attach_threadpool.argtypes = (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
        self._library.llama_detach_threadpool.argtypes = (ctypes.c_void_p,)
        params = defaults(n_threads)
        # Threads sleep between two steps instead of spinning: as fast on a quiet machine, and no load for others.
        params.poll = 0
        self._free = _Free(cpu_function(self._library, "ggml_threadpool_free"))
        self._pool = _New(cpu_function(self._library, "ggml_threadpool_new"))(ctypes.byref(params))
        if not self._pool:
            raise EngineError(f"A pool of {n_threads} threads could not be made.", cause="load")
        self._context = context
        self._library.llama_attach_threadpool(context, self._pool, self._pool)

    def close(self) -> None:
        """Detach from the context and end the threads."""
        if self._pool:
            self._library.llama_detach_threadpool(self._context)
            self._free(self._pool)
            self._pool = None
