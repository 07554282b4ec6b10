"""Forks, threads and files: code that deals with the operating system."""
