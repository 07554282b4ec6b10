"""Tests of clipcodec.cli."""
