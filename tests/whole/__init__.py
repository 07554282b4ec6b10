"""Tests that walk through the whole package: real processes, faults, fuzzing, equal results."""
