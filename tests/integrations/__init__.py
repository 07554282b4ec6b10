"""Tests of clipcodec.integrations."""
