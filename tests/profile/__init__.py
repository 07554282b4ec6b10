"""Tests of clipcodec.profile."""
