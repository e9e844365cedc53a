"""Which worker looks after which camera, on a clock of the test's."""

from __future__ import annotations

from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from streamd.balancing import Balancer, Move, Weight, Work, assign

ALL = frozenset({"a", "b", "c", "d"})
HOME = {"a": 0, "b": 0, "c": 0, "d": 1}


def watch(balancer: Balancer, *, busy: dict[int, float], shares: dict[int, dict[str, float]], from_s: float) -> float:
    """Half a minute of two workers' reports; returns when it ended."""
    for step in range(8):
        now_s = from_s + 5.0 * step
        for worker, share in busy.items():
            done = {name: now_s * cost for name, cost in shares.get(worker, {}).items()}
            balancer.heard(worker, Work(now_s * share, done), now_s)
    return now_s


def overloaded(balancer: Balancer, *, from_s: float = 0.0, idle: float = 0.2) -> float:
    shares = {0: {"a": 5.0, "b": 3.0, "c": 2.0}, 1: {"d": 1.0}}
    return watch(balancer, busy={0: 1.0, 1: idle}, shares=shares, from_s=from_s)


def test_equal_cameras_go_round() -> None:
    cameras = {name: Weight(1.0) for name in "abcde"}
    assert assign(cameras, 2, kept={}) == {"a": 0, "b": 1, "c": 0, "d": 1, "e": 0}


def test_a_costly_camera_gets_a_worker_of_its_own() -> None:
    cameras = {"a": Weight(1.0), "b": Weight(1.0), "wide": Weight(5.0), "c": Weight(1.0)}
    assert assign(cameras, 2, kept={}) == {"a": 1, "b": 1, "wide": 0, "c": 1}


def test_cameras_that_stay_keep_their_worker_and_new_ones_go_where_least_is() -> None:
    cameras = {name: Weight(1.0) for name in ("new", "a", "b", "c")}
    assert assign(cameras, 2, kept={"a": 1, "b": 1, "c": 0}) == {"new": 0, "a": 1, "b": 1, "c": 0}


def test_a_worker_that_is_gone_gives_its_cameras_to_the_others() -> None:
    cameras = {name: Weight(1.0) for name in "abc"}
    assert assign(cameras, 2, kept={"a": 0, "b": 2, "c": 2}) == {"a": 0, "b": 1, "c": 0}


def test_a_camera_on_another_host_stays_at_its_port() -> None:
    cameras = {"a": Weight(1.0), "far": Weight(9.0, fixed=1), "b": Weight(1.0)}
    assert assign(cameras, 2, kept={}) == {"a": 0, "far": 1, "b": 0}


@given(st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.floats(0.1, 9.0)), st.integers(1, 5))
def test_no_worker_is_burdened_by_more_than_one_camera_above_another(costs: dict[str, float], workers: int) -> None:
    found = assign({name: Weight(cost) for name, cost in costs.items()}, workers, kept={})
    burdens = [sum(costs[name] for name in found if found[name] == worker) for worker in range(workers)]
    assert max(burdens) - min(burdens) <= max(costs.values(), default=0.0) + 1e-9


def test_the_share_of_its_time_that_a_worker_computes_is_known_soon() -> None:
    balancer = Balancer()
    assert balancer.busy(0) is None
    balancer.heard(0, Work(10.0), 100.0)
    assert balancer.busy(0) is None
    balancer.heard(0, Work(12.0), 105.0)
    assert balancer.busy(0) == 0.4


def test_the_camera_goes_that_brings_both_workers_closest() -> None:
    balancer = Balancer()
    now_s = overloaded(balancer)
    # a would leave 0.5 and 0.7, b 0.7 and 0.5, c 0.8 and 0.4.
    assert balancer.proposal(HOME, ALL, now_s) == Move("a", 0, 1)
    assert balancer.proposal(HOME, ALL - {"a"}, now_s) == Move("b", 0, 1)
    assert balancer.proposal(HOME, frozenset(), now_s) is None


def test_nothing_moves_before_half_a_minute_is_known_of_both() -> None:
    balancer = Balancer()
    balancer.heard(0, Work(0.0), 0.0)
    balancer.heard(0, Work(20.0, {"a": 1.0}), 20.0)
    balancer.heard(1, Work(0.0), 0.0)
    balancer.heard(1, Work(1.0), 20.0)
    assert balancer.proposal({"a": 0}, ALL, 20.0) is None


def test_a_worker_that_is_alone_busy_enough_or_not_idle_enough_is_left_alone() -> None:
    for busy in ({0: 0.8, 1: 0.1}, {0: 1.0, 1: 0.65}, {0: 1.0}):
        balancer = Balancer()
        now_s = watch(balancer, busy=busy, shares={0: {"a": 1.0, "b": 1.0}}, from_s=0.0)
        assert balancer.proposal(HOME, ALL, now_s) is None


def test_a_camera_that_would_only_carry_the_overload_along_stays() -> None:
    balancer = Balancer()
    now_s = watch(balancer, busy={0: 1.0, 1: 0.0}, shares={0: {"a": 1.0}}, from_s=0.0)
    assert balancer.proposal({"a": 0}, ALL, now_s) is None


def test_at_most_one_camera_moves_a_minute_and_none_comes_back() -> None:
    balancer = Balancer()
    now_s = overloaded(balancer)
    first = balancer.proposal(HOME, ALL, now_s)
    assert first == Move("a", 0, 1)
    balancer.moved(first, now_s)
    after = {**HOME, "a": 1}
    assert balancer.proposal(after, ALL, now_s + 59.0) is None
    # The load turns round: somebody else goes than the camera that has just come.
    shares = {1: {"a": 9.0, "d": 1.0}, 0: {"b": 1.0, "c": 1.0}}
    now_s = watch(balancer, busy={1: 1.0, 0: 0.1}, shares=shares, from_s=now_s + 60.0)
    assert balancer.proposal(after, ALL, now_s) == Move("d", 1, 0)
    assert balancer.proposal(after, ALL - {"d"}, now_s) is None


def test_what_a_worker_did_before_it_was_started_again_does_not_count() -> None:
    balancer = Balancer()
    now_s = overloaded(balancer)
    balancer.heard(0, Work(0.5, {"a": 1.0}), now_s + 5.0)
    assert balancer.busy(0) is None
    assert balancer.proposal(HOME, ALL, now_s + 5.0) is None


def test_what_a_camera_took_long_ago_does_not_count() -> None:
    balancer = Balancer()
    for now_s in (0.0, 10.0, 20.0):
        balancer.heard(0, Work(now_s / 2, {"a": 1000.0, "b": now_s}), now_s)
    assert balancer.costs(0) == {"a": 0.0, "b": 0.5}


def test_after_a_move_nobody_moves_for_a_minute_whatever_is_known_by_then() -> None:
    balancer = Balancer()
    now_s = overloaded(balancer)
    balancer.moved(Move("a", 0, 1), now_s)
    soon_s = overloaded(balancer, from_s=now_s + 5.0)
    assert soon_s < now_s + 60.0
    assert balancer.proposal(HOME, ALL, soon_s) is None
    assert balancer.proposal(HOME, ALL, now_s + 60.0) == Move("b", 0, 1), "a stays where it came"


def test_of_a_worker_that_has_ended_nothing_is_known() -> None:
    balancer = Balancer()
    overloaded(balancer)
    balancer.forget(0)
    assert balancer.busy(0) is None
    assert balancer.costs(0) == {}


def moves(balancer: Balancer, demand: dict[str, float], hours: float) -> Iterator[Move]:
    """Two workers whose cameras demand these shares of a worker, for a while."""
    home = {name: 0 for name in demand}
    busy_s, done = [0.0, 0.0], dict.fromkeys(demand, 0.0)
    for step in range(int(hours * 720)):
        now_s = 5.0 * step
        for worker in (0, 1):
            wanted = {name: share for name, share in demand.items() if home[name] == worker}
            slowed = 1.0 / max(1.0, sum(wanted.values()))
            for name, share in wanted.items():
                done[name] += 5.0 * share * slowed
            busy_s[worker] += 5.0 * sum(wanted.values()) * slowed
            balancer.heard(worker, Work(busy_s[worker], {name: done[name] for name in wanted}), now_s)
        if (move := balancer.proposal(home, frozenset(demand), now_s)) is not None:
            home[move.camera] = move.end
            balancer.moved(move, now_s)
            yield move


def test_an_overload_that_others_can_take_ends_after_a_few_moves() -> None:
    demand = {name: 0.2 for name in "abcdefg"}
    made = list(moves(Balancer(), demand, hours=6))
    assert len(made) == 3
    assert {move.start for move in made} == {0}


@given(st.lists(st.floats(0.02, 0.9), min_size=2, max_size=8))
def test_cameras_never_go_to_and_fro(demand: list[float]) -> None:
    made = list(moves(Balancer(), {str(i): share for i, share in enumerate(demand)}, hours=1))
    assert len(made) == len({move.camera for move in made})
