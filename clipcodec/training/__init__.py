"""Training of profiles, in torch. Nothing outside this folder imports it but the command line."""
