"""Under which addresses a server is reached, and what it prints for a class: two links and a QR code."""

import io
import ipaddress
import socket
import sys

import psutil
import segno

from core.roles import teacher_token

EVERY_INTERFACE = ("", "0.0.0.0", "::")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def is_own(address: str) -> bool:
    """Whether a server at that address is reached from this machine only."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"


def hosts_of(address: str) -> list[str]:
    """The names by which browsers may ask for a server at that address: any other is a trick."""
    if is_own(address):
        return list(LOOPBACK_HOSTS)
    if address not in EVERY_INTERFACE:
        return [*LOOPBACK_HOSTS, address]
    name = socket.gethostname().lower()
    names = [name, f"{name.partition('.')[0]}.local"]
    return list(dict.fromkeys([*LOOPBACK_HOSTS, *names, *_interfaces()]))


def address_for_others(address: str) -> str:
    """The one that other machines in the same network use."""
    if address not in EVERY_INTERFACE:
        return address
    found = [one for one in _interfaces() if not is_own(one)]
    private = [one for one in found if ipaddress.ip_address(one).is_private and ":" not in one]
    return (private or found or [socket.gethostname()])[0]


def links(address: str, port: int, base: str = "") -> tuple[str, str]:
    """The link for the class, and the one for the teacher, which nobody else may see."""
    host = address_for_others(address)
    host = f"[{host}]" if ":" in host else host
    root = f"http://{host}:{port}/{base.strip('/')}".rstrip("/")
    return f"{root}/", f"{root}/teacher?token={teacher_token()}"


def announce(address: str, port: int, base: str = "") -> str:
    """What the terminal shows when a server for a class has started."""
    for_class, for_teacher = links(address, port, base)
    return (
        f"\n  For the class:    {for_class}\n  For the teacher:  {for_teacher}\n"
        "  The teacher's link lets a browser stop and delete everybody's runs: show the class the first one "
        f"only.\n\n{qr_code(for_class)}"
    )


def qr_code(text: str) -> str:
    """A QR code in characters; "" where the terminal's encoding has no blocks."""
    out = io.StringIO()
    segno.make(text, micro=False).terminal(out, compact=True)
    try:
        out.getvalue().encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return ""
    return out.getvalue()


def _interfaces() -> list[str]:
    kinds = (socket.AF_INET, socket.AF_INET6)
    found = [one for addresses in psutil.net_if_addrs().values() for one in addresses if one.family in kinds]
    return [one.address.partition("%")[0] for one in found]
