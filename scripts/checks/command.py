"""The command scripts/audit."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from scripts.checks.licences import required_packages
from scripts.checks.vulnerabilities import known_vulnerabilities

ROOT = Path(__file__).resolve().parents[2]
# Names in SQL, /tmp, 0.0.0.0 and XML are ruff's S608, S108, S104 and S314 in scripts/lint, where each exception has its
# reason beside it.
BANDIT = (
    "--quiet", "--recursive", "--skip", "B104,B108,B314,B608",
    "--severity-level", "medium", "--confidence-level", "medium",
)  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(prog="scripts/audit", description="Known weaknesses, and licences.")
    parser.add_argument("--offline", action="store_true", help="do not look up vulnerabilities")
    arguments = parser.parse_args()
    is_sound = (
        subprocess.run([sys.executable, "-m", "bandit", *BANDIT, str(ROOT / "edgechat")], check=False).returncode == 0
    )
    print(f"bandit: {'nothing of medium severity or above' if is_sound else 'see above'}.")

    packages = required_packages()
    print(f"\n{'package':<28} {'version':<14} licence")
    for each in packages:
        print(f"{each.name:<28} {each.version:<14} {each.licence}")
    for each in packages:
        if not each.is_permissive:
            is_sound = False
            print(f"{each.name}: its licence is not in scripts/checks/licences.py; read it, then add or replace it.")

    if arguments.offline:
        print("\nVulnerabilities: not looked up (--offline).")
        sys.exit(0 if is_sound else 1)
    report = known_vulnerabilities(ROOT / "constraints.txt")
    print(f"\nVulnerabilities: {report.n_looked_up} packages looked up, {len(report.vulnerabilities)} found.")
    for name in report.vulnerabilities:
        print(f"  {name}")
    if report.obstacle:
        print(f"  Left out, which is no failure: {report.obstacle}.")
    elif report.unknown:
        print(f"  Unknown to the list: {', '.join(report.unknown)}.")
    sys.exit(0 if is_sound and not report.vulnerabilities else 1)


if __name__ == "__main__":
    main()
