"""What scripts/audit runs: known weaknesses in the source and in the packages, and the packages' licences."""
