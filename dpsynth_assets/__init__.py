"""The platform."""

from dpsynth_assets import program  # before all others of its modules: it remembers with which files a process began

__all__ = ["program"]
