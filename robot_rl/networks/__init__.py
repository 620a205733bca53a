"""Neural networks: encoders, MLPs, critics, denoisers. No learning rules here."""
