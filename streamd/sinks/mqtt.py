"""Events, states and Home Assistant's discovery on an MQTT broker.

<prefix>/status                      online | offline, retained, the latter as last will
<prefix>/events/<camera>/<type>      an event's JSON
<prefix>/cameras/<camera>/status     online | offline, retained
<prefix>/cameras/<camera>/people     who is there, JSON, retained
<prefix>/people/<id>/state           home | not_home, retained
<prefix>/people/<id>/attributes      name, camera and time, JSON, retained
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import threading
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

import streamd
from streamd.errors import SinkAway, UnavailableError
from streamd.events import Event, timestamp
from streamd.interfaces import Parcel
from streamd.sinkconfig import MqttSink
from streamd.sinks.whoisthere import Changes, WhoIsThere

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo

_TIMEOUT_S = 10.0
_KEEPALIVE_S = 30
_QUEUE_BOUND = 2000
_ON_THEIR_WAY = 500
"""Messages after which the broker is waited for: the client takes no more than its queue holds."""


class MqttDestination:
    """Implements ``interfaces.Destination``."""

    keeps_state = True
    forgets = False

    def __init__(self, config: MqttSink, *, cameras: Sequence[str]) -> None:
        try:
            import paho.mqtt.client as paho
        except ImportError as error:
            raise UnavailableError("a sink of kind mqtt needs an extra: pip install 'streamd[mqtt]'") from error
        self._paho = paho
        self._config = config
        self._cameras = [c for c in cameras if not config.cameras or c in config.cameras]
        self._host = re.sub(r"[^A-Za-z0-9_-]+", "-", socket.gethostname()) or "box"
        self._who = WhoIsThere(config.away_after_s)
        self._connected = threading.Event()
        self._trouble = ""
        self._client: Client | None = None
        self._waiting: list[MQTTMessageInfo] = []

    def open(self) -> None:
        client = self._made()
        self._client = client
        parts = urlsplit(self._config.url)
        tls = parts.scheme.lower() == "mqtts"
        try:
            if tls:
                client.tls_set_context(ssl.create_default_context(cafile=self._config.ca_file))
            client.connect(parts.hostname or "", parts.port or (8883 if tls else 1883), _KEEPALIVE_S)
        except (OSError, ValueError, ssl.SSLError) as error:
            raise SinkAway(f"the broker cannot be reached: {error}") from error
        client.loop_start()
        if not self._connected.wait(_TIMEOUT_S) or self._trouble:
            raise SinkAway(self._trouble or f"the broker did not answer within {_TIMEOUT_S:g} s")

    def recall(self, past: Sequence[Event]) -> None:
        for event in past:
            self._who.take(event)
        self._retain(self._topic("status"), "online")
        for camera in self._cameras:
            self._announce_camera(camera)
            self._tell_camera(camera)
        for camera in self._who.online.keys() - set(self._cameras):
            self._tell_camera(camera)
        for person_id in self._who.people:
            self._tell_person(person_id)
        self._arrived()

    def deliver(self, parcels: Sequence[Parcel]) -> int:
        for parcel in parcels:
            if parcel.wanted:
                event = parcel.event
                self._publish(self._topic("events", event.camera, event.type.value), parcel.body, retain=False)
            self._tell(self._who.take(parcel.event))
        self._arrived()
        return len(parcels)

    def idle(self, now_wall_s: float) -> None:
        if self._trouble:
            raise SinkAway(self._trouble)
        for person_id in self._who.grow_old(now_wall_s):
            self._tell_person(person_id)
        self._arrived()

    def close(self) -> None:
        client, self._client = self._client, None
        if client is None:
            return
        if self._connected.is_set() and not self._trouble:
            with suppress(RuntimeError, ValueError):  # it is not taken any more
                client.publish(self._topic("status"), "offline", qos=1, retain=True).wait_for_publish(1.0)
        client.disconnect()
        client.loop_stop()

    def _made(self) -> Client:
        paho, config = self._paho, self._config
        client: Client = paho.Client(
            paho.CallbackAPIVersion.VERSION2,
            client_id=config.client_id or f"streamd-{self._host}",
            protocol=paho.MQTTv5 if config.protocol == "5" else paho.MQTTv311,
            reconnect_on_failure=False,
        )
        parts = urlsplit(config.url)
        if parts.username:
            client.username_pw_set(unquote(parts.username), unquote(parts.password or ""))
        client.will_set(self._topic("status"), "offline", qos=1, retain=True)
        client.max_queued_messages_set(_QUEUE_BOUND)
        client.connect_timeout = _TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        return client

    def _on_connect(self, client: Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        if reason.is_failure:
            self._trouble = f"the broker refuses: {reason}"
        self._connected.set()

    def _on_disconnect(self, client: Client, userdata: object, flags: object, reason: Any, properties: object) -> None:
        self._trouble = self._trouble or f"the connection to the broker was lost: {reason}"
        self._connected.set()

    def _topic(self, *levels: str) -> str:
        return "/".join((self._config.prefix, *levels))

    def _retain(self, topic: str, payload: str | dict[str, Any]) -> None:
        text = payload if isinstance(payload, str) else json.dumps(payload, ensure_ascii=False)
        self._publish(topic, text.encode(), retain=True)

    def _publish(self, topic: str, payload: bytes, *, retain: bool) -> None:
        if self._client is None:
            raise SinkAway("not open")
        if len(self._waiting) >= _ON_THEIR_WAY:
            self._arrived()
        info = self._client.publish(topic, payload, qos=1, retain=retain)
        if info.rc not in (self._paho.MQTT_ERR_SUCCESS, self._paho.MQTT_ERR_NO_CONN):
            raise SinkAway(f"cannot be sent: {self._paho.error_string(info.rc)}")
        self._waiting.append(info)

    def _arrived(self) -> None:
        """Wait until the broker has everything that was published."""
        waiting, self._waiting = self._waiting, []
        for info in waiting:
            try:
                info.wait_for_publish(_TIMEOUT_S if not self._trouble else 0.0)
            except (RuntimeError, ValueError) as error:
                raise SinkAway(self._trouble or f"cannot be sent: {error}") from error
            if not info.is_published():
                raise SinkAway(self._trouble or f"the broker did not confirm within {_TIMEOUT_S:g} s")

    def _tell(self, changes: Changes) -> None:
        for camera in changes.cameras:
            self._tell_camera(camera)
        for person_id in changes.people - changes.forgotten:
            self._tell_person(person_id)
        for person_id in changes.forgotten:
            self._take_off(*self._person_topics(person_id), self._discovery("device_tracker", person_id))

    def _take_off(self, *topics: str) -> None:
        """Have the broker keep nothing of them."""
        for topic in filter(None, topics):
            self._retain(topic, "")

    def _tell_camera(self, camera: str) -> None:
        status, people = self._camera_topics(camera)
        if camera not in self._cameras:  # it is in the configuration no more
            self._take_off(status, people, self._discovery("sensor", camera))
            return
        online = self._who.online.get(camera, False)
        self._retain(status, "online" if online else "offline")
        self._retain(people, self._who.camera_state(camera))

    def _tell_person(self, person_id: str) -> None:
        person = self._who.people[person_id]
        state, attributes = self._person_topics(person_id)
        self._announce_person(person_id, person.name)
        seen = timestamp(person.seen_s) if person.seen_s > 0 else None
        self._retain(attributes, {"name": person.name, "camera": person.camera, "seen_at": seen})
        self._retain(state, "home" if person.home else "not_home")

    def _camera_topics(self, camera: str) -> tuple[str, str]:
        return self._topic("cameras", camera, "status"), self._topic("cameras", camera, "people")

    def _person_topics(self, person_id: str) -> tuple[str, str]:
        return self._topic("people", person_id, "state"), self._topic("people", person_id, "attributes")

    # -- Home Assistant (https://www.home-assistant.io/integrations/mqtt/#mqtt-discovery) -----------------------------

    def _discovery(self, component: str, thing: str) -> str:
        """The topic that announces a thing; nothing where none is to be announced."""
        node = re.sub(r"[^A-Za-z0-9_-]", "_", f"{self._config.prefix}_{self._host}")
        return f"{self._config.discovery}/{component}/{node}/{thing}/config" if self._config.discovery else ""

    def _announce_camera(self, camera: str) -> None:
        if topic := self._discovery("sensor", camera):
            own, people = self._camera_topics(camera)
            more = {
                "name": f"{camera} people",
                "default_entity_id": f"sensor.streamd_{camera}",
                "state_topic": people,
                "value_template": "{{ value_json.state }}",
                "json_attributes_topic": people,
                "icon": "mdi:face-recognition",
                "availability": [{"topic": self._topic("status")}, {"topic": own}],
                "availability_mode": "all",
            }
            self._retain(topic, self._thing(camera) | more)

    def _announce_person(self, person_id: str, name: str) -> None:
        if topic := self._discovery("device_tracker", person_id):
            state, attributes = self._person_topics(person_id)
            more = {
                "name": name,
                "state_topic": state,
                "json_attributes_topic": attributes,
                "payload_home": "home",
                "payload_not_home": "not_home",
                # Not a place on a map: a phone that is away does not contradict a face at the door.
                "source_type": "router",
                "availability": [{"topic": self._topic("status")}],
            }
            self._retain(topic, self._thing(person_id) | more)

    def _thing(self, name: str) -> dict[str, Any]:
        box = f"{self._config.prefix}_{self._host}"
        return {
            "unique_id": f"{box}_{name}",
            "origin": {"name": "streamd", "sw_version": streamd.__version__},
            "device": {"identifiers": [box], "name": f"streamd {self._host}", "sw_version": streamd.__version__},
        }
