"""Trials of a support vector machine on the features of a frozen network."""
