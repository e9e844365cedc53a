"""The MQTT sink against a real mosquitto."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from brokers import Mosquitto, MqttListener
from publisherprocess import an_event, eventually

from streamd.errors import SinkAway
from streamd.events import Event, EventType
from streamd.interfaces import Parcel
from streamd.sinkconfig import MqttSink
from streamd.sinks.mqtt import MqttDestination

pytestmark = pytest.mark.e2e


def parcel(event: Event, *, wanted: bool = True) -> Parcel:
    return Parcel(event, event.to_json(), wanted)


def told(number: int, kind: EventType = EventType.FACE_IDENTIFIED, track: str = "door-1") -> Event:
    return replace(an_event(number, kind=kind), track=track, box=(0, 0, 9, 9)).numbered(number)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path / "mqtt", password="open sesame") as running:
        yield running


def destination(
    broker: Mosquitto, *, password: str = "open%20sesame", cameras: Sequence[str] = ("door",), **more: str
) -> MqttDestination:
    url = f"mqtt://streamd:{password}@127.0.0.1:{broker.port}"
    return MqttDestination(MqttSink(kind="mqtt", url=url, **more), cameras=cameras)  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", ["3.1.1", "5"])
def test_states_are_retained_and_home_assistant_is_told_of_cameras_and_people(broker: Mosquitto, protocol: str) -> None:
    made = destination(broker, protocol=protocol)
    made.open()
    made.recall([])
    made.deliver([parcel(told(1)), parcel(told(2, track="door-2"), wanted=False)])
    listener = MqttListener(broker.port, "#", password="open sesame")

    def announced(kind: str) -> int:
        return sum(topic.startswith(f"homeassistant/{kind}/") for topic in listener.retained())

    # The broker gives retained topics one after the other; which comes last is its own affair.
    eventually(lambda: "streamd/people/p2/state" in listener.retained())
    eventually(lambda: (announced("sensor"), announced("device_tracker")) == (1, 2))
    topics = listener.retained()
    assert topics["streamd/status"] == b"online"
    assert json.loads(topics["streamd/cameras/door/people"])["names"] == ["Person 1", "Person 2"]
    assert topics["streamd/people/p1/state"] == b"home"
    assert not any(topic.startswith("streamd/events/") for topic in topics), "events are not retained"
    sensor, tracker = (
        json.loads(next(body for topic, body in topics.items() if topic.startswith(f"homeassistant/{kind}/")))
        for kind in ("sensor", "device_tracker")
    )
    assert sensor["state_topic"] == "streamd/cameras/door/people"
    assert tracker["state_topic"] in ("streamd/people/p1/state", "streamd/people/p2/state")
    assert sensor["device"] == tracker["device"]
    assert sensor["default_entity_id"] == "sensor.streamd_door"
    assert tracker["source_type"] == "router", "home counts for a person whose phone says away"
    made.close()
    eventually(lambda: listener.retained()["streamd/status"] == b"offline")
    listener.close()


def test_only_wanted_events_are_published(broker: Mosquitto) -> None:
    listener = MqttListener(broker.port, "streamd/events/#", password="open sesame")
    made = destination(broker)
    made.open()
    made.deliver([parcel(told(1), wanted=False), parcel(told(2))])
    eventually(lambda: bool(listener.heard))
    assert listener.heard[0][0] == "streamd/events/door/face.identified"
    assert listener.seqs() == [2]
    made.close()
    listener.close()


def test_who_was_there_before_is_known_again(broker: Mosquitto) -> None:
    made = destination(broker)
    made.open()
    made.recall([told(1)])
    listener = MqttListener(broker.port, "streamd/cameras/#", password="open sesame")
    eventually(lambda: "streamd/cameras/door/people" in listener.retained())
    assert json.loads(listener.retained()["streamd/cameras/door/people"])["state"] == "Person 1"
    made.close()
    listener.close()


def test_hundreds_of_people_are_told_of(broker: Mosquitto) -> None:
    made = destination(broker)
    made.open()
    people = [
        replace(an_event(n, kind=EventType.PERSON_ENROLLED), identity={"id": f"p{n}", "name": f"Person {n}"}, seq=n)
        for n in range(1, 901)
    ]
    made.recall(people)
    made.close()
    listener = MqttListener(broker.port, "streamd/people/+/state", password="open sesame")
    eventually(lambda: len(listener.retained()) == 900)
    listener.close()


def test_who_is_forgotten_leaves_nothing_on_the_broker(broker: Mosquitto) -> None:
    made = destination(broker)
    made.open()
    made.recall([])
    gone = replace(an_event(1, kind=EventType.PERSON_FORGOTTEN, camera="-"), identity={"id": "p1"}, seq=2)
    made.deliver([parcel(told(1)), parcel(gone)])
    listener = MqttListener(broker.port, "#", password="open sesame")
    eventually(lambda: "streamd/cameras/door/people" in listener.retained())
    eventually(lambda: any(topic.startswith("homeassistant/sensor/") for topic in listener.retained()))
    assert not any("p1" in topic for topic in listener.retained())
    assert b"Person 1" not in b"".join(listener.retained().values())
    made.close()
    listener.close()


@pytest.mark.parametrize("told_before", [True, False])
def test_a_camera_that_went_leaves_nothing_on_the_broker(broker: Mosquitto, told_before: bool) -> None:
    """Whether it is among the past events that are told again, or goes only now."""

    def kept_of_yard(listener: str) -> set[str]:
        heard = MqttListener(broker.port, "#", name=listener, password="open sesame")
        heard.client.publish("end", b"of what is retained")
        eventually(lambda: "end" in heard.retained())
        heard.close()
        return {topic for topic, body in heard.retained().items() if "yard" in topic and body}

    online, gone = (
        replace(an_event(n, kind=kind, camera="yard"), seq=n)
        for n, kind in ((1, EventType.CAMERA_ONLINE), (2, EventType.CAMERA_OFFLINE))
    )
    before, after = destination(broker, cameras=("door", "yard")), destination(broker)
    before.open()
    before.recall([online])
    before.close()
    assert len(kept_of_yard("one")) == 3
    after.open()
    after.recall([online, gone] if told_before else [])
    after.deliver([] if told_before else [parcel(gone)])
    after.close()
    assert kept_of_yard("two") == set()


def test_a_broker_that_refuses_the_password_is_said_to(broker: Mosquitto) -> None:
    made = destination(broker, password="wrong")
    with pytest.raises(SinkAway, match=r"the broker refuses: .*(authori[sz]ed|Bad user name)") as caught:
        made.open()
    assert "wrong" not in str(caught.value)
    made.close()


def test_a_broker_that_dies_is_noticed_and_its_will_is_done(broker: Mosquitto) -> None:
    made = destination(broker)
    made.open()
    made.deliver([parcel(told(1))])
    broker.kill()
    with pytest.raises(SinkAway, match=r"the broker was lost|cannot be sent|did not confirm"):
        made.deliver([parcel(told(2))])
    eventually(lambda: is_away(made))
    made.close()


def is_away(made: MqttDestination) -> bool:
    try:
        made.idle(0.0)
    except SinkAway:
        return True
    return False
