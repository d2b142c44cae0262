"""What can keep a long-running process from starting, or end it.

DaemonError
├── PortTaken        another process listens on http.port
├── CannotListen     http.host is no address of this machine, or the port is not for everybody
├── RefusedSetting   a librdkafka setting that would break a promise
├── UnknownFailpoint TXBOX_FAILPOINT names none of ours
└── Failed           what the failpoint action `raise` raises
"""

__all__ = ["CannotListen", "DaemonError", "Failed", "PortTaken", "RefusedSetting", "UnknownFailpoint"]


class DaemonError(Exception):
    """A daemon could not start or go on."""


class PortTaken(DaemonError):
    """Another process listens on the port for metrics and health."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        super().__init__(
            f"port {port} on {host} is taken, probably by another daemon of ours. "
            "Choose another with --http-port (0: any free one, off: none)"
        )


class CannotListen(DaemonError):
    """The address for metrics and health cannot be had here."""

    def __init__(self, host: str, port: int) -> None:
        super().__init__(
            f"cannot listen on {host}:{port}: give an address of this machine (--http-host) and a port above 1023"
        )


class RefusedSetting(DaemonError):
    """A setting in [kafka.client] would break a promise, or is made by another setting."""

    def __init__(self, name: str, why: str) -> None:
        self.name = name
        super().__init__(f"kafka.client: {name} is refused: {why}")


class UnknownFailpoint(DaemonError):
    """TXBOX_FAILPOINT is not name:action[:nth] with a name and an action that there are."""


class Failed(DaemonError):
    """A failpoint was told to raise. Only in tests."""
