"""streamd: watches live video and says, within a second, who is there."""

__version__ = "0.1.0"
