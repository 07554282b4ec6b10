"""Runs the code blocks of the pages: see docs/run.py."""
