"""Tests of clipcodec.tasks."""
