"""Look at all that the promises rest on, in order; say what is wrong, why, and what mends it.

`examine(Doctor(...).checks())` yields a finding for each check. Nothing is changed, but by the probe, which cleans up.
"""

from txbox.doctor.doctor import Doctor
from txbox.doctor.errors import DoctorError, NotTold
from txbox.doctor.finding import Check, Finding, Level, examine

__all__ = ["Check", "Doctor", "DoctorError", "Finding", "Level", "NotTold", "examine"]
