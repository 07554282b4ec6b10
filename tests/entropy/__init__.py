"""Tests of clipcodec.entropy."""
