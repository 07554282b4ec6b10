"""Tests of clipcodec.system."""
