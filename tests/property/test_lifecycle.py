"""The state machine under any sequence of events: it never restarts faster than its backoff."""

from hypothesis import given
from hypothesis import strategies as st

from streamd.lifecycle import Action, Lifecycle, Policy, State

POLICY = Policy(
    stall_after_s=3, start_timeout_s=5, backoff_min_s=0.5, backoff_max_s=8, reset_after_s=20, drain_s=4, abort_grace_s=1
)
steps = st.lists(
    st.tuples(
        st.sampled_from(["ready", "beat", "exit0", "exit70", "killed", "stop", "begin", "nothing"]),
        st.floats(0, 30, allow_nan=False),
    ),
    max_size=60,
)


class Simulated:
    """A child that obeys the actions, and checks each of them."""

    def __init__(self) -> None:
        self.now_s = 0.0
        self.alive = False
        self.ended_at_s: float | None = None
        self.asked_to_begin = False
        self.life = Lifecycle(POLICY, jitter=lambda: 0.0)
        self.life.begin(0.0)

    def tick(self) -> None:
        action = self.life.tick(self.now_s)
        if action is Action.START:
            assert not self.alive, "two processes at once"
            assert self.life.state is State.BACKOFF
            if self.ended_at_s is not None and not self.asked_to_begin:
                assert self.now_s - self.ended_at_s >= POLICY.backoff_min_s
            self.alive, self.asked_to_begin = True, False
            self.life.on_started(self.now_s)
        elif action is not None:
            assert self.alive, "an action on a process that is not there"
            if action is Action.KILL:
                self.exit(-9)

    def exit(self, code: int) -> None:
        if self.alive:
            self.alive, self.ended_at_s = False, self.now_s
            self.life.on_exit(code, self.now_s)

    def do(self, event: str) -> None:
        if event == "ready" and self.alive:
            self.life.on_ready(self.now_s)
        elif event == "beat" and self.alive:
            self.life.on_beat(self.now_s)
        elif event == "stop":
            self.life.stop(self.now_s)
        elif event == "begin":
            self.asked_to_begin = self.asked_to_begin or self.life.state in (State.STOPPED, State.FATAL)
            self.life.begin(self.now_s)
        elif event.startswith("exit"):
            self.exit(int(event[4:]))
        elif event == "killed":
            self.exit(-9)


@given(steps)
def test_any_history_starts_no_faster_than_the_backoff_and_never_twice(history: list[tuple[str, float]]) -> None:
    child = Simulated()
    for event, pause_s in history:
        child.tick()
        child.do(event)
        child.now_s += pause_s


@given(st.integers(0, 1000), st.floats(0, 1))
def test_pauses_grow_to_the_maximum_and_no_further(failures: int, jitter: float) -> None:
    life = Lifecycle(POLICY, jitter=lambda: jitter)
    life.begin(0.0)
    last_s = 0.0
    for _ in range(min(failures, 40)):
        pause_s = life.pause_s()
        assert POLICY.backoff_min_s <= pause_s <= POLICY.backoff_max_s * 1.25
        assert pause_s >= last_s
        last_s = pause_s
        life.on_started(0.0)
        life.on_exit(70, 0.0)


@given(st.floats(0, 100))
def test_a_silent_child_is_aborted_then_killed(silence_s: float) -> None:
    life = Lifecycle(POLICY, jitter=lambda: 0.0)
    life.begin(0.0)
    life.on_started(0.0)
    life.on_ready(0.0)
    action = life.tick(silence_s)
    assert (action is Action.ABORT) == (silence_s >= POLICY.stall_after_s)
    if action is Action.ABORT:
        assert life.tick(silence_s + 0.5) is None
        assert life.tick(silence_s + POLICY.abort_grace_s + 0.001) is Action.KILL
        assert life.tick(silence_s + 60) is None
