"""Erasure: takes a subject out of everything that the installation keeps, and proves it."""
