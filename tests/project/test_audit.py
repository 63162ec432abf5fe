"""scripts/audit: licences that may be passed on, and no all-clear about packages that nobody has looked up."""

from __future__ import annotations

import json

from scripts.checks.licences import Package, required_packages
from scripts.checks.vulnerabilities import read_report


def test_every_package_that_an_installation_brings_may_be_passed_on() -> None:
    packages = required_packages()
    assert {"click", "jinja2", "llama-cpp-python", "cryptography"} <= {each.name for each in packages}
    assert [each for each in packages if not each.is_permissive] == []


def test_a_licence_with_conditions_is_noticed() -> None:
    for licence in ("GPL-3.0-only", "MIT AND LGPL-2.1", "not stated", "Proprietary"):
        assert not Package("x", "1", licence).is_permissive, licence
    assert Package("x", "1", "Apache-2.0 OR BSD-3-Clause").is_permissive


def test_a_list_that_knows_nothing_is_no_all_clear() -> None:
    rows = [{"name": "a", "skip_reason": "not found"}, {"name": "b", "skip_reason": "not found"}]
    report = read_report(json.dumps({"dependencies": rows}))
    assert (report.n_looked_up, report.obstacle) == (0, "the list knows none of the packages")


def test_what_is_found_is_named() -> None:
    rows = [{"name": "a", "version": "1", "vulns": [{"id": "CVE-1"}]}, {"name": "b", "version": "2", "vulns": []}]
    report = read_report(json.dumps({"dependencies": [*rows, {"name": "c", "skip_reason": "no"}]}))
    assert report.vulnerabilities == ("a 1: CVE-1",)
    assert (report.n_looked_up, report.unknown, report.obstacle) == (2, ("c",), "")


def test_without_a_network_the_reason_is_told() -> None:
    assert read_report("", "WARNING: x\nERROR: no connection\n").obstacle == "ERROR: no connection"
