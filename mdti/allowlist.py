"""Hosts that are ours or trusted: named in an answer, never followed, never an actor's."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network

from mdti.errors import InputError, SettingError
from mdti.ioc import HostParser
from mdti.models import Host

SETTING = "LOOKUP_ALLOWLIST"
_SHAPE = "a host (www.contoso.com), a suffix (*.contoso.com), an address or a CIDR (20.1.0.0/16)"


@dataclass(frozen=True, slots=True)
class Allowlist:
    """Hosts, suffixes and networks, each with the entry that named it.

    A host is that name alone; a suffix, `*.contoso.com` or `.contoso.com`, is `contoso.com` and
    every name below it.
    """

    hosts: Mapping[str, str] = field(default_factory=dict)
    suffixes: Mapping[str, str] = field(default_factory=dict)
    networks: tuple[tuple[IPv4Network | IPv6Network, str], ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Allowlist":
        """Return the entries of `text`, separated by commas or white space.

        Raises `SettingError`, which names the entry, for one that is none of the three, and for one
        that would cover everything.
        """
        hosts: dict[str, str] = {}
        suffixes: dict[str, str] = {}
        networks: list[tuple[IPv4Network | IPv6Network, str]] = []
        for entry in filter(None, re.split(r"[,\s]+", text)):
            network = _network(entry)
            if network is not None:
                networks.append((network, entry))
            elif entry.startswith(("*.", ".")):
                suffixes.setdefault(_name(entry, entry.removeprefix("*").removeprefix(".")), entry)
            else:
                hosts.setdefault(_name(entry, entry), entry)
        return cls(hosts, suffixes, tuple(networks))

    def entry(self, host: Host) -> str | None:
        """Return the entry that covers `host`, or None."""
        if host.is_address:
            return self._network_entry(host.value) if self.networks else None
        if host.value in self.hosts:
            return self.hosts[host.value]
        if not self.suffixes:
            return None
        covering = (self.suffixes.get(suffix) for suffix in suffixes_of(host.value))
        return next((entry for entry in covering if entry is not None), None)

    def _network_entry(self, value: str) -> str | None:
        address = ip_address(value)
        return next((entry for network, entry in self.networks if address in network), None)


def suffixes_of(name: str) -> tuple[str, ...]:
    """Return `name` and every shorter name it ends in, the longest first."""
    labels = name.split(".")
    return tuple(".".join(labels[start:]) for start in range(len(labels)))


def _network(entry: str) -> IPv4Network | IPv6Network | None:
    try:
        network = ip_network(entry)
    except ValueError:
        return None
    if network.prefixlen == 0:
        raise SettingError(f"{SETTING}: {entry!a} covers every address.", hint=f"Give {_SHAPE}.")
    return network


def _name(entry: str, text: str) -> str:
    """Return the host name that `text`, a part of `entry`, spells."""
    try:
        host = HostParser(examples=True).parse(text)
    except InputError as error:
        message = f"{SETTING}: {entry!a} cannot be used: {error.message}"
        raise SettingError(message, hint=f"Give {_SHAPE}.") from error
    if host.is_address:
        raise SettingError(f"{SETTING}: {entry!a} is not {_SHAPE}.")
    return host.value
