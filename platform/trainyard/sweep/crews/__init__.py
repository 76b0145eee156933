"""Crews: the warm worker groups that train a trial together, how slots come to them, and what goes between the two."""
