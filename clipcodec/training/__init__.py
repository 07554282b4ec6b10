"""Training of profiles, in torch. Only the command line and the evaluation import this folder."""
