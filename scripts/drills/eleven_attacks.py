#!/usr/bin/env python3
"""Runs the eleven attacks that once got in, on one or several versions, and prints a Markdown table.

    scripts/drills/eleven_attacks.py [CHECKOUT...] [--only 2,7] [--json]

A CHECKOUT is the root of a version's source (`git worktree add --detach DIR COMMIT`); this one by default. All run in
this interpreter with its packages, each in a home of its own. As root, a second user's part is played by a uid of its
own; without, by the same user. The exit status is 1 if an attack on the last version got in. About two minutes each.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.drills.attacks import crowds, directories, model_files  # noqa: E402 - found through the line above
from scripts.drills.attacks.target import Outcome, Target  # noqa: E402

if TYPE_CHECKING:
    from collections.abc import Callable

ATTACKS: dict[int, tuple[str, Callable[[Target], Outcome], str]] = {
    1: ("another user opens a tab of `tui --web`", directories.web_ui, "test_without_logging_in_nobody_gets_a_tab"),
    2: ("a folder `edgechat/` beside a signed bundle", directories.stick,
        "test_no_command_imports_from_the_current_or_state_directory"),
    3: ("a home that another user prepared", directories.prepared_home,
        "test_a_directory_that_others_can_write_is_refused_with_the_command"),
    4: ("`token.py` beside `python -m edgechat serve`", directories.module_name,
        "test_python_m_is_not_broken_by_a_file_named_like_a_module"),
    5: ("a linked model is overwritten at the same size", model_files.changed_model,
        "test_the_engine_refuses_a_model_that_changed_and_doctor_says_it"),
    6: ("a link in place of an export's temporary file", directories.planted_link,
        "test_a_planted_temporary_file_is_not_followed"),
    7: ("a template that asks for 27 GB at one message", model_files.template_memory,
        "test_a_template_that_asks_for_gigabytes_is_stopped"),
    8: ("a guest's frame of 31 MB; 32 silent guests", crowds.guests, "test_a_bomb_is_refused_while_it_arrives"),
    9: ("14 bodies of 4 MB of `[],`", crowds.small_values,
        "test_a_bomb_of_small_values_is_refused_before_it_is_parsed"),
    10: ("600 half request heads", crowds.half_heads, "test_half_heads_keep_nobody_out"),
    11: ("a negative epsilon; a tokenizer of another kind", model_files.bad_metadata,
         "test_an_epsilon_that_ends_llama_cpp_is_refused"),
}  # fmt: skip
"""Number of the finding -> what it is, the attack, and a test that fails where it gets in."""


def attack(number: int, checkout: Path) -> Outcome:
    """Run one attack on one version."""
    with tempfile.TemporaryDirectory(prefix="edgechat-attack-", ignore_cleanup_errors=True) as made:
        folder = Path(made)
        folder.chmod(0o755)
        return ATTACKS[number][1](Target(checkout.resolve(), folder))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkouts", nargs="*", type=Path, default=[ROOT], metavar="CHECKOUT")
    parser.add_argument("--only", default="", help="numbers of attacks, separated by commas")
    parser.add_argument("--json", action="store_true", help="print one JSON object for each attack and version")
    arguments = parser.parse_args()
    chosen = [int(each) for each in arguments.only.split(",") if each] or list(ATTACKS)
    if not arguments.json:
        names = " | ".join(str(each.name) for each in arguments.checkouts)
        print(f"| attack | {names} | test |\n|---|{'---|' * len(arguments.checkouts)}---|")
    is_in = False
    for number in chosen:
        name, _, test = ATTACKS[number]
        cells = []
        for checkout in arguments.checkouts:
            outcome = attack(number, checkout)
            is_in |= outcome.is_in and checkout == arguments.checkouts[-1]
            cells.append(f"{'**gets in**' if outcome.is_in else 'held'}: {outcome.detail}".replace("|", "/"))
            if arguments.json:
                print(json.dumps({"attack": number, "version": str(checkout), "is_in": outcome.is_in,
                                  "detail": outcome.detail}), flush=True)  # fmt: skip
        if not arguments.json:
            print(f"| {number}. {name} | {' | '.join(cells)} | `{test}` |", flush=True)
    sys.exit(1 if is_in else 0)


if __name__ == "__main__":
    main()
