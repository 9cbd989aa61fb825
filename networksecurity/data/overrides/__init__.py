"""Overrides: verdicts that a person has set, for a while, whatever the model says; and where they are stored."""
