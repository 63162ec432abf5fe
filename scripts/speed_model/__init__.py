"""Fits the speed model of plans to published measurements of boards, and scores it on the rows kept aside."""
