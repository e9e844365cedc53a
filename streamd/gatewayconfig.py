"""The section ``gateway``: the HTTP port, and who may use it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from streamd.configtypes import Section, TokenHash, UserName


class UserConfig(Section):
    """Somebody who may log in."""

    role: Literal["viewer", "operator", "admin"] = "viewer"
    """A viewer looks; an operator also enrols, names and mends people; an admin also forgets them and changes
    cameras."""
    password: Annotated[str, Field(pattern=r"^scrypt:\d+:[A-Za-z0-9_-]+:[A-Za-z0-9_-]+$")]
    """Its hash, as 'streamd user add' makes it."""


class TokenConfig(Section):
    """A program that may ask."""

    role: Literal["viewer", "operator", "admin"] = "viewer"
    """What it may do, as of users."""
    token: TokenHash
    """Its hash, as 'streamd user token' makes it."""


class GatewayConfig(Section):
    """The HTTP port: the page, the API, WebRTC, ``/metrics``, ``/healthz`` and ``/readyz``."""

    enabled: bool = True
    """Whether the gateway runs."""
    listen: Annotated[str, Field(pattern=r"^([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):\d{1,5}$")] = "127.0.0.1:8470"
    """Address and port. On the loopback nobody needs to log in; ``0.0.0.0:8470``, or any other address that other hosts
    reach, needs ``users`` or ``tokens``, and a way for passwords to travel safely."""
    users: dict[UserName, UserConfig] = {}
    """People who may log in, by name; 'streamd user add NAME' writes them here."""
    tokens: dict[UserName, TokenConfig] = {}
    """Programs that may ask, by name: ``Authorization: Bearer ...``; 'streamd user token NAME' writes them here."""
    certificate: Path | None = None
    """TLS: a PEM file with the certificate and its chain; read again when it changes."""
    key: Path | None = None
    """TLS: the certificate's private key."""
    trusted_proxies: tuple[str, ...] = ()
    """Addresses or networks (``10.0.0.0/8``) of proxies that add TLS, whose ``X-Forwarded-For``, ``-Proto`` and
    ``-Host`` are believed."""
    plain: bool = False
    """Whether passwords may travel unencrypted, in a network that nobody else listens to."""
    public_metrics: bool = False
    """Whether ``/metrics`` is told to whoever asks, where there are users; it holds cameras' names, and no person's."""
    max_viewers: Annotated[int, Field(ge=0, le=100)] = 8
    """How many may watch live at the same time, over all cameras; one user or token gets three in four of these places
    at most."""
