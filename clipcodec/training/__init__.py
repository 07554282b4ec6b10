"""Training of profiles, in torch; `learn` needs none unless it trains networks.

Only the command line and the evaluation import this folder.
"""

__all__ = ["learn", "pqvae", "predictive"]  # for users; the other modules are their parts


def __dir__() -> list[str]:
    """The public names alone."""
    return [*__all__, *(name for name in globals() if name.startswith("__"))]
