"""Tests of edgechat."""
