"""What a configuration must fulfil beyond the type and range of each value."""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

from streamd.config import WHIP_URL, CameraConfig, Config
from streamd.configtree import KeyPath
from streamd.events import EventType
from streamd.placement import LARGEST_ENGINE_SIDE_PX
from streamd.sinkconfig import MqttSink, NatsSink, WebhookSink

LONGEST_SOCKET_PATH_BYTES = 100
"""The kernel takes 107; a few are kept for longer socket names to come."""
_HOST = re.compile(r"(?P<host>\[[0-9a-fA-F:.%]+\]|[^:\[\]]*)(:\d{1,5})?")
_ENCODED = "'/', '?', '#', '@', '[' and ']' in a password must be percent-encoded"
SCHEMES = ("rtsp", "rtsps", "http", "https")


@dataclass(frozen=True, slots=True)
class BrokenRule:
    involved: tuple[KeyPath, ...]
    """Keys that together break it; the message is shown at the first that the file gives."""
    message: str


@dataclass(frozen=True, slots=True)
class _Port:
    path: KeyPath
    address: str
    host: str
    number: int
    note: str = ""


def broken_rules(config: Config) -> Iterator[BrokenRule]:
    """Every rule that ``config`` breaks."""
    for rule in (
        _exposure,
        _gateway,
        _proxies,
        _keys,
        _remote_cameras,
        _ports,
        _sockets_dir,
        _urls,
        _sinks,
        _orders,
        _engines,
        _embedders,
    ):
        yield from rule(config)


def is_loopback(host: str) -> bool:
    return host in ("localhost", "[::1]") or host.startswith("127.")


def _host(address: str) -> str:
    return address.removeprefix("tcp://").rpartition(":")[0]


def _exposure(config: Config) -> Iterator[BrokenRule]:
    for name in ("publish", "replay"):
        address = getattr(config.events, name)
        if address.startswith("tcp://") and not is_loopback(_host(address)):
            yield BrokenRule(
                (("events", name),),
                f"{address} would send events over the network unencrypted; use tcp://127.0.0.1 and forward "
                "it through a tunnel",
            )


def _gateway(config: Config) -> Iterator[BrokenRule]:
    gateway = config.gateway
    if (gateway.certificate is None) != (gateway.key is None):
        paths = (("gateway", "certificate"), ("gateway", "key"))
        yield BrokenRule(paths, "certificate and key belong together: give both, or neither")
    if is_loopback(_host(gateway.listen)) or not gateway.enabled:
        return
    if not gateway.users and not gateway.tokens:
        yield BrokenRule(
            (("gateway", "listen"),),
            f"{gateway.listen} can be reached from other hosts: make somebody who may log in first "
            "('streamd user add NAME --role admin')",
        )
    elif gateway.certificate is None and not gateway.trusted_proxies and not gateway.plain:
        yield BrokenRule(
            (("gateway", "listen"),),
            f"{gateway.listen} would have passwords travel unencrypted: give certificate and key, or "
            "trusted_proxies, or say plain: true",
        )


def _proxies(config: Config) -> Iterator[BrokenRule]:
    for address in config.gateway.trusted_proxies:
        try:
            ipaddress.ip_network(address)
        except ValueError:
            message = f"{address[:60]!r} is no address or network, like 10.0.0.2 or 10.0.0.0/8"
            yield BrokenRule((("gateway", "trusted_proxies"),), message)


def _keys(config: Config) -> Iterator[BrokenRule]:
    frames = config.frames
    involved = (("frames", "listen"), ("frames", "server_key"), ("frames", "clients"))
    if frames.listen and not is_loopback(_host(frames.listen)) and not (frames.server_key and frames.clients):
        yield BrokenRule(
            involved,
            f"{frames.listen} can be reached from other hosts: give frames.server_key and frames.clients "
            "('streamd keys new' makes keys)",
        )
    elif (frames.server_key is None) != (frames.clients is None):
        yield BrokenRule(involved[1:], "server_key and clients belong together: give both, or neither")


def _remote_cameras(config: Config) -> Iterator[BrokenRule]:
    if config.frames.listen is not None:
        return
    for name, camera in config.cameras.items():
        if camera.remote:
            message = "a remote camera needs frames.listen, where its host connects to"
            yield BrokenRule((("cameras", name, "remote"), ("frames", "listen")), message)


def _listening(config: Config) -> Iterator[_Port]:
    addresses = {
        ("events", "publish"): config.events.publish,
        ("events", "replay"): config.events.replay,
        ("gateway", "listen"): config.gateway.listen if config.gateway.enabled else None,
    }
    for path, address in addresses.items():
        if address and not address.startswith("ipc://"):
            yield _Port(path, address, _host(address), int(address.rpartition(":")[2]))
    if config.frames.listen:
        host, first = _host(config.frames.listen), int(config.frames.listen.rpartition(":")[2])
        for worker in range(config.workers.processes):
            note = f" of worker {worker}" if worker else ""
            yield _Port(("frames", "listen"), config.frames.listen, host, first + worker, note)


def _ports(config: Config) -> Iterator[BrokenRule]:
    if config.events.publish == config.events.replay and config.events.publish.startswith("ipc://"):
        yield BrokenRule((("events", "replay"), ("events", "publish")), "is events.publish, too: name another file")
    ports = list(_listening(config))
    for port in ports:
        if port.number > 65535:
            message = f"port {port.number}{port.note} does not exist; the last is 65535"
            yield BrokenRule((port.path, ("workers", "count")), message)
    for one, other in combinations(ports, 2):
        if one.path != other.path and _collide(one, other):
            yield BrokenRule(
                (other.path, one.path),
                f"port {one.number} is asked for twice: {'.'.join(one.path)}{one.note} ({one.address}) and "
                f"{'.'.join(other.path)}{other.note} ({other.address})",
            )


def _collide(one: _Port, other: _Port) -> bool:
    if one.number != other.number or one.number == 0:  # 0: any free one
        return False
    hosts = {"127.0.0.1" if port.host == "localhost" else port.host for port in (one, other)}
    return len(hosts) == 1 or bool(hosts & {"*", "0.0.0.0", "[::]"})


def _sockets_dir(config: Config) -> Iterator[BrokenRule]:
    names = [f"frames-{config.workers.processes - 1}.sock"]
    names += [f"whip-{name}.sock" for name, camera in config.cameras.items() if camera.is_whip]
    longest = config.sockets_dir / max(names, key=len)
    length = len(str(longest).encode())
    if length > LONGEST_SOCKET_PATH_BYTES:
        yield BrokenRule(
            (("runtime_dir",), ("state_dir",)),
            f"sockets would have paths of {length} bytes ({longest}); at most {LONGEST_SOCKET_PATH_BYTES} "
            "work: set runtime_dir to a shorter path",
        )


def _urls(config: Config) -> Iterator[BrokenRule]:
    for name, camera in config.cameras.items():
        for key in ("url", "substream"):
            given = getattr(camera, key) or ""
            if given.lower().startswith("whip:") and given != WHIP_URL:
                just = f"should be just '{WHIP_URL}': senders say which camera they are when they connect"
                yield BrokenRule((("cameras", name, key),), just)
                continue
            scheme, found, rest = given.partition("://")
            if found and given != WHIP_URL and (message := _url_trouble(scheme, rest)):
                yield BrokenRule((("cameras", name, key),), message)


def _url_trouble(scheme: str, rest: str) -> str | None:
    """What is wrong with a camera's URL, without showing any of it but the scheme."""
    if scheme.lower() not in SCHEMES:
        close = difflib.get_close_matches(scheme.lower(), SCHEMES, n=1)
        hint = f"did you mean '{close[0]}'?" if close else f"known are {', '.join(SCHEMES)}, and paths"
        return f"the scheme '{scheme[:20]}' is not known; {hint}"
    found = _host_of(rest)
    if found is None:
        return f"the port should be a number; {_ENCODED}"
    return None if found["host"] else f"'{scheme}' is not followed by a host"


def _host_of(rest: str) -> re.Match[str] | None:
    """Host and port of what follows the scheme; None where it cannot be read. Brackets are for IPv6 addresses alone:
    Python's own functions raise where a password has some."""
    login, _, host = re.split(r"[/?#]", rest, maxsplit=1)[0].rpartition("@")
    return None if re.search(r"[\[\]]", login) else _HOST.fullmatch(host)


_SINK_SCHEMES = {"mqtt": ("mqtt", "mqtts"), "nats": ("nats", "tls"), "webhook": ("http", "https")}
_ENCRYPTED = frozenset({"mqtts", "tls", "https"})


def _sinks(config: Config) -> Iterator[BrokenRule]:
    for name, sink in config.sinks.items():
        for kind in sink.types:
            if message := _type_trouble(kind):
                yield BrokenRule((("sinks", name, "types"),), message)
        for camera in sink.cameras:
            if camera not in config.cameras:
                yield BrokenRule((("sinks", name, "cameras"),), f"there is no camera '{camera}'")
        if isinstance(sink, MqttSink | NatsSink | WebhookSink) and (message := _sink_url_trouble(sink)):
            yield BrokenRule((("sinks", name, "url"),), message)


def _type_trouble(kind: str) -> str | None:
    known = [k.value for k in EventType]
    if kind in known:
        return None
    close = difflib.get_close_matches(kind, known, n=1)
    return f"there are no events of the type '{kind[:40]}'" + (f"; did you mean '{close[0]}'?" if close else "")


def _sink_url_trouble(sink: MqttSink | NatsSink | WebhookSink) -> str | None:
    """Shows nothing of the URL but its scheme: it may hold a password."""
    scheme, _, rest = sink.url.partition("://")
    schemes = _SINK_SCHEMES[sink.kind]
    if scheme.lower() not in schemes:
        return f"should begin with {' or '.join(f'{s}://' for s in schemes)}"
    found = _host_of(rest)
    if found is None or not found["host"]:
        return f"'{scheme}' is not followed by a host; {_ENCODED}"
    if int((found.group(2) or ":0")[1:]) > 65535:
        return f"port {found.group(2)[1:]} does not exist; the last is 65535"
    if scheme.lower() not in _ENCRYPTED and not sink.plain and not is_loopback(found["host"]):
        return f"would send names of people over the network unencrypted; use {schemes[1]}://, or say plain: true"
    return None


def _orders(config: Config) -> Iterator[BrokenRule]:
    """Pairs of which the first may not exceed the second."""
    yield from _order((), config, "supervision", ("backoff_min_s", "backoff_max_s"))
    yield from _order((), config, "supervision", ("heartbeat_s", "stall_after_s"))
    cameras = {("cameras", name): camera for name, camera in config.cameras.items()}
    for where, settings in ({(): config} | cameras).items():
        yield from _order(where, settings, "capture", ("retry_min_s", "retry_max_s"))
        yield from _order(where, settings, "recognition", ("min_views", "max_views"))


def _order(
    where: KeyPath, settings: Config | CameraConfig, section: str, keys: tuple[str, str]
) -> Iterator[BrokenRule]:
    low, high = (getattr(getattr(settings, section), key) for key in keys)
    if low > high:
        paths = tuple((*where, section, key) for key in keys)
        yield BrokenRule(paths, f"{keys[0]} ({low:g}) is more than {keys[1]} ({high:g})")


def _engines(config: Config) -> Iterator[BrokenRule]:
    """TensorRT's engines are built for a range of sizes."""
    cameras = {("cameras", name): camera for name, camera in config.cameras.items()}
    for where, settings in ({(): config} | cameras).items() if config.workers.tensorrt else ():
        side_px = settings.detection.longer_side_px
        if side_px > LARGEST_ENGINE_SIDE_PX:
            paths = ((*where, "detection", "longer_side_px"), ("workers", "tensorrt"))
            message = f"TensorRT takes views of up to {LARGEST_ENGINE_SIDE_PX} pixels, not {side_px}: use tiles"
            yield BrokenRule(paths, message)


def _embedders(config: Config) -> Iterator[BrokenRule]:
    """Vectors of two models are never compared."""
    common = config.recognition.embedder
    for name, camera in config.cameras.items():
        if camera.recognition.embedder != common:
            paths = (("cameras", name, "recognition", "embedder"), ("recognition", "embedder"))
            message = (
                f"{camera.recognition.embedder!r}: one gallery has one embedder, {common!r}: set it for all cameras"
            )
            yield BrokenRule(paths, message)
