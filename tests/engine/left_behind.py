"""Brings containers up, says so, and waits to be killed."""

import signal

from txbox.sandbox import Containers

if __name__ == "__main__":
    containers = Containers()
    containers.up()
    print(f"up as {containers._name} ", flush=True)
    signal.pause()
