"""What `docs/render.py` writes: tables, figures and claims, all from docs/results/*.json."""
