"""What can be wrong with the doctor itself.

DoctorError
└── NotTold     it was not told where a server is
"""

__all__ = ["DoctorError", "NotTold"]


class DoctorError(Exception):
    """No diagnosis."""


class NotTold(DoctorError):
    """Nothing says where a server is. The message has the mend."""
