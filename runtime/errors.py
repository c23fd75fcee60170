"""Errors of building and launching; the family and its text live in `ir.diagnostics`."""

from __future__ import annotations

from tilewright.ir.diagnostics import ResourceError, TilewrightError

__all__ = ["BuildError", "LaunchError", "ResourceError", "TilewrightError", "UsageError"]


class BuildError(TilewrightError):
    """Generated source could not be turned into a binary, or the tools for it are missing."""


class LaunchError(TilewrightError):
    """A kernel cannot run with these arguments on this machine."""


class UsageError(LaunchError):
    """The words on a command line cannot be read, or do not fit what they name."""
