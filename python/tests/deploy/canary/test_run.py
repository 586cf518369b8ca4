"""A canary from its beginning to its end, in a cluster in memory: who is killed, is followed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal.deploy._canary._document import read
from shoal.deploy._canary._lease import Held, begin, take
from shoal.deploy._canary._run import Runner
from shoal.errors import ClusterConflictError, ClusterUnavailableError, DeployError
from tests.deploy.canary.simulated import BEGAN_AT, Killed, Memory, Service, Time, document

if TYPE_CHECKING:
    from shoal.deploy._canary._events import CanaryEvent
    from shoal.deploy._canary._judge import Word
    from shoal.deploy._canary._machine import Action, Outcome, State


class World:
    """Runners that follow each other."""

    def __init__(
        self,
        looks: list[Word],
        *,
        broken: frozenset[str] = frozenset(),
        kill_after: int | None = None,
    ) -> None:
        self.memory, self.time = Memory(), Time()
        self.service = Service(self.memory, self.time, looks, broken, kill_after)
        self.events: list[CanaryEvent] = []
        self.waits: list[float] = []

    def begin(self) -> CanaryEvent:
        held = begin(self.memory, document(self.time.seconds), self.time.clock())
        return self.runner(held).run()

    def follow(self, holder: str = "second") -> CanaryEvent:
        self.memory.is_killed = False
        held = take(self.memory, holder, self.time.clock(), lambda _, left: self.waits.append(left))
        held.keep(held.resumed())
        return self.runner(held).run()

    def runner(self, held: Held) -> Runner:
        return Runner(held, self.service, self.time.clock(), self.events.append)

    @property
    def end(self) -> tuple[str, bool, int, str | None]:
        return self.service.main, self.service.canary, self.service.weights[-1], self.memory.text

    def words(self) -> list[str]:
        return [event.event for event in self.events]


def test_a_good_version_is_promoted_step_by_step() -> None:
    world = World(["good"])
    assert world.begin().phase == "promoted"
    assert world.end == ("new", False, 0, None)
    assert world.service.weights == [0, 5, 50, 100, 0]
    assert world.words()[:6] == ["waiting", "phase", "weights", "look", "look", "look"]
    assert world.words()[-1] == "promoted"
    looks = [event for event in world.events if event.event == "look"]
    assert [(event.step, event.percent) for event in looks] == [
        (step, percent) for step, percent in ((1, 5), (2, 50), (3, 100)) for _ in range(3)
    ]


@pytest.mark.parametrize("word", ["bad", "unknown"])
def test_a_version_that_is_not_good_is_rolled_back(word: Word) -> None:
    world = World(["good", word])
    end = world.begin()
    assert end.phase == "rolled_back"
    assert "at 50 %" in end.detail
    assert world.end == ("old", False, 0, None)
    assert world.service.weights == [0, 5, 50, 0]
    assert world.service.acts[-3:] == ["weigh", "restore", "remove"]
    assert world.events[-1] == end


@pytest.mark.parametrize("act", ["prepare", "weigh", "promote"])
def test_an_act_that_comes_to_nothing_is_rolled_back(act: str) -> None:
    world = World(["good"], broken=frozenset({act}))
    assert world.begin().detail == "refused"
    assert world.end == ("old", False, 0, None)


def acts_of(looks: list[Word]) -> int:
    world = World(looks)
    world.begin()
    return len(world.service.acts)


@pytest.mark.parametrize(("looks", "main"), [(["good"], "new"), (["good", "bad"], "old")], ids=str)
def test_whoever_is_killed_after_any_act_is_followed_to_the_same_end(
    looks: list[Word], main: str
) -> None:
    for kill_after in range(acts_of(looks)):
        world = World(looks, kill_after=kill_after)
        with pytest.raises(Killed):
            world.begin()
        assert read(world.memory.text or "").holder == "first"
        world.follow()
        assert world.end == (main, False, 0, None)
        assert max(world.waits) == 30


def test_a_second_runner_is_refused_while_the_first_gives_signs() -> None:
    memory, time = Memory(), Time()
    first = begin(memory, document(time.seconds), time.clock())

    def first_goes_on(*_: object) -> None:
        first.keep(first.document.state)

    with pytest.raises(ClusterConflictError, match="first runs this canary"):
        take(memory, "second", time.clock(), first_goes_on)


def test_a_runner_that_was_taken_for_dead_does_nothing_more() -> None:
    memory, time = Memory(), Time()
    first = begin(memory, document(time.seconds), time.clock())
    take(memory, "second", time.clock(), lambda *_: None)
    service = Service(memory, time, ["good"])
    with pytest.raises(ClusterConflictError, match="another runner has taken over"):
        Runner(first, service, time.clock(), lambda _: None).run()
    assert service.acts == []


def test_a_runner_that_is_interrupted_leaves_the_weights_and_need_not_be_waited_for() -> None:
    world = World(["good"])

    def interrupt(event: CanaryEvent) -> None:
        world.events.append(event)
        if event.event == "look":
            raise KeyboardInterrupt

    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    with pytest.raises(KeyboardInterrupt):
        Runner(held, world.service, world.time.clock(), interrupt).run()
    assert world.service.weights == [0, 5]
    assert read(world.memory.text or "").holder == ""
    assert world.follow().phase == "promoted"
    assert world.waits == []


def test_an_answer_that_was_lost_is_not_taken_for_another_runner() -> None:
    world = World(["good"])
    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    world.memory.is_answer_lost = True
    assert world.runner(held).run().phase == "promoted"


def test_a_write_that_was_tried_again_is_not_taken_for_another_runner() -> None:
    world = World(["good"])

    class Away(Memory):
        """Keeps what was written, and breaks off before it says so."""

        def replace(self, text: str, version: str) -> str:
            written = super().replace(text, version)
            if version == "3":
                raise ClusterUnavailableError("away")
            return written

    world.memory = Away()
    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    assert world.runner(held).run().phase == "promoted"
    assert [event.detail for event in world.events].count("away") == 1


def test_a_cluster_that_is_away_for_a_while_is_waited_for() -> None:
    world = World(["good"])
    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    world.memory.away = 5
    assert world.runner(held).run().phase == "promoted"
    assert [event.detail for event in world.events].count("away") == 5
    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    world.memory.away = 10_000
    with pytest.raises(ClusterUnavailableError):
        world.runner(held).run()


def test_what_was_deleted_meanwhile_ends_the_runner() -> None:
    world = World(["good"])
    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    world.memory.text = None
    with pytest.raises(ClusterConflictError, match="somebody deleted"):
        world.runner(held).run()


@pytest.mark.parametrize("hours", [-5, 0, 5], ids=["behind", "alike", "ahead"])
@pytest.mark.parametrize(("looks", "phase"), [(["good"], "promoted"), (["unknown"], "rolled_back")])
def test_a_step_lasts_as_long_whatever_the_clock_of_whoever_goes_on(
    looks: list[Word], phase: str, hours: int
) -> None:
    world, told = World(looks), []

    def interrupt(event: CanaryEvent) -> None:
        if event.event == "look":
            told.append(event.at)
            raise KeyboardInterrupt

    held = begin(world.memory, document(world.time.seconds), world.time.clock())
    with pytest.raises(KeyboardInterrupt):
        Runner(held, world.service, world.time.clock(), interrupt).run()
    world.time.seconds += 3600 * hours + 120  # for two minutes nobody acts
    goes_on_at = world.time.seconds
    assert world.follow().phase == phase
    first = [event.at for event in world.events if event.event == "look" and event.step == 1]
    # A look each 20 s, until the step has lasted 60 s, and 40 s more while nothing is known.
    assert [round(at - goes_on_at, -1) for at in first] == (
        [20, 40] if phase == "promoted" else [20, 40, 60, 80]
    )
    assert len(told) == 1


def test_of_two_that_begin_one_is_refused() -> None:
    memory, time = Memory(), Time()
    begin(memory, document(time.seconds), time.clock())
    with pytest.raises(ClusterConflictError):
        begin(memory, document(time.seconds, "second"), time.clock())


def test_what_cannot_be_rolled_back_any_more_is_an_error_and_goes_on_later() -> None:
    world = World(["good"])

    class Stuck(Service):
        def _act(self, action: Action, state: State) -> Outcome:
            if state.phase == "returning":
                raise DeployError("another manager owns the weights")
            return super()._act(action, state)

    world.service = Stuck(world.memory, world.time, ["good"])
    with pytest.raises(DeployError, match="owns the weights"):
        world.begin()
    assert read(world.memory.text or "").state.phase == "returning"
    service = Service(world.memory, world.time, ["good"])
    service.main, service.canary = "new", True
    world.service = service
    assert world.follow().phase == "promoted"


def test_another_form_of_what_is_remembered_is_refused() -> None:
    for text in ('{"format": 2}', "{}", "no JSON", '{"format": 1, "name": 3}'):
        memory, time = Memory(text, 1), Time()
        with pytest.raises(DeployError):
            take(memory, "second", time.clock(), lambda *_: None)


def test_the_time_of_day_is_the_one_that_is_told() -> None:
    world = World(["good"])
    world.begin()
    assert world.events[0].at >= BEGAN_AT
    assert [event.at for event in world.events] == sorted(event.at for event in world.events)
