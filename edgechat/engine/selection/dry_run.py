"""Second stage of planning, once the file is here: holds a plan against llama.cpp's own dry run and corrects it.

The dry run happens in a child process, since llama.cpp may abort. Imports no native code.
"""

from __future__ import annotations

import json
import signal
import subprocess
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from edgechat.engine.child.run import run_apart
from edgechat.errors import EngineError

if TYPE_CHECKING:
    from pathlib import Path

    from edgechat.models.planning.plan import LoadSettings, Plan

_PATIENCE_S = 120.0
_AGREES = 0.02
"""The prediction leaves out nothing larger than this part of the whole for any architecture that was tried."""


@dataclass(frozen=True, slots=True)
class DryRun:
    """What llama.cpp would allocate on the CPU, in bytes."""

    kv: int
    """KV cache and recurrent states."""
    compute: int
    """Compute buffers and rows of logits."""


def dry_run(path: Path, settings: LoadSettings) -> DryRun:
    """Ask llama.cpp what it would allocate; takes the time of reading the vocabulary.

    Raises:
        EngineError: it refuses the file or the settings, or died over them.
    """
    try:
        done = run_apart("rehearsal", {"path": str(path), "settings": asdict(settings)}, patience_s=_PATIENCE_S)
    except subprocess.TimeoutExpired as error:
        raise EngineError(f"llama.cpp did not finish its dry run of {path.name}.") from error
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise EngineError(f"llama.cpp died of {name} in a dry run of {path.name}.", cause="signal")
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
        raise EngineError(f"llama.cpp refuses {path.name}: {reason}", cause="load")
    found = json.loads(done.stdout.splitlines()[-1])
    return DryRun(kv=found["kv"] + found["RS"], compute=found["compute"] + found["output"])


def confirmed(plan: Plan, path: Path) -> Plan:
    """The plan with its caches and buffers as llama.cpp itself sizes them, where it finds them larger.

    Plans that use a GPU are returned as they are: their buffers lie elsewhere.

    Raises:
        EngineError: as :func:`dry_run`.
    """
    if plan.settings.n_gpu_layers:
        return plan
    found = dry_run(path, plan.settings)
    memory = plan.memory
    more = max(0, found.kv - memory.kv) + max(0, found.compute - memory.compute)
    if more <= _AGREES * memory.total:
        return replace(plan, reasons=(*plan.reasons, "llama.cpp's own dry run agrees with these sizes."))
    corrected = replace(memory, kv=max(found.kv, memory.kv), compute=max(found.compute, memory.compute))
    reason = (
        f"llama.cpp's own dry run needs {more / 1e6:,.0f} MB more than this model's shape tells: its figures are used."
    )
    fits = corrected.host + plan.reserve <= plan.available
    return replace(plan, memory=corrected, fits=plan.fits and fits, reasons=(*plan.reasons, reason))
