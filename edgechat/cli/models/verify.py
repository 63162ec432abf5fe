"""``edgechat models verify``: hash the installed files again and compare with the recorded hashes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from edgechat.cli.completion import complete_installed
from edgechat.cli.output.progress_bars import ProgressBars
from edgechat.errors import ModelNotFoundError, TransferError
from edgechat.models.catalog.names import parse_reference
from edgechat.models.store.store import Store
from edgechat.models.store.verify import verify as verify_store
from edgechat.paths import Paths
from edgechat.plaintext import clean_line

if TYPE_CHECKING:
    from edgechat.models.store.verify import VerifyResult


@click.command()
@click.argument("model", required=False, shell_complete=complete_installed)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(model: str | None, *, as_json: bool) -> None:
    """Check the hashes of the installed files; damaged files are moved to quarantine."""
    paths = Paths.from_env()
    name = quant = ""
    if model is not None:
        ref = parse_reference(model)
        name, quant = ref.name, ref.quant
    with ProgressBars() as bars:
        verdicts = verify_store(Store(paths), name=name, quant=quant, progress=bars)
    if model is not None and not verdicts:
        raise ModelNotFoundError(f"{model} is not installed.", hint="See: edgechat models list")
    if as_json:
        click.echo(json.dumps([_verdict_json(verdict) for verdict in verdicts], ensure_ascii=False, indent=2))
    else:
        for verdict in verdicts:
            click.echo(_verdict_line(verdict))
    if bad := [f"{verdict.name}:{verdict.quant}" for verdict in verdicts if not verdict.ok]:
        raise TransferError(f"{', '.join(bad)} failed verification.", hint="The list above says what to do about each.")


def _verdict_json(verdict: VerifyResult) -> dict[str, Any]:
    return {
        "model": verdict.name,
        "quant": verdict.quant,
        "version": verdict.version,
        "ok": verdict.ok,
        "problem": verdict.problem,
        "action": verdict.action,
    }


def _verdict_line(verdict: VerifyResult) -> str:
    label = f"{verdict.name}:{verdict.quant} {verdict.version}"
    if verdict.ok:
        return f"ok       {label}"
    return f"failed   {label}: {clean_line(verdict.problem)}. {clean_line(verdict.action)}".rstrip()
