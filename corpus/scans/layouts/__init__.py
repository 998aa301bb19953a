"""Layouts: how a dataset's files lie on disk, one a module."""
