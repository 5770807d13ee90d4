"""The rule of turns, with a clock of its own: who goes first, and how long anyone waits."""

from collections import Counter
from dataclasses import dataclass, field

import pytest

from core.serving.turns import LONG_TURN, SHORT_TURN, Turns


@dataclass(eq=False)
class Question:
    session: str
    needs: float  # seconds of computing
    label: str = ""
    classifier: str = "net"
    short: bool = True
    quick: bool = False
    share: float = 0.0
    seconds: float = 0.0
    in_turn: float = 0.0
    stamp: int = 0
    begun: bool = False
    loading: bool = False
    done: float = 0.0
    sessions: Counter = field(default_factory=Counter)


class Machine:
    """What the worker does, with time that passes in steps of a batch."""

    def __init__(self, at_once: int = 8) -> None:
        self.now, self.at_once = 0.0, at_once
        self.turns = Turns(lambda: self.now)
        self.line: list[Question] = []
        self.finished: list[tuple[float, Question]] = []
        self.served: list[str] = []  # whose turn each was

    def ask(self, question: Question, *sessions: str) -> Question:
        if question not in self.line:
            self.line.append(question)
        for session in sessions or (question.session,):
            question.sessions[session] += 1
            self.turns.joined(question, session, self.line)
        return question

    def run(self, batch: float = 0.05, meanwhile=lambda now: None) -> None:
        while self.line:
            task = self.turns.next(self.line, self.at_once)
            task.begun = True
            self.turns.begins(task)
            self.served.append(task.session)
            while True:
                self.now += min(batch, task.needs - task.done)
                task.done += batch
                meanwhile(self.now)
                if task.done >= task.needs - 1e-9:
                    self.turns.ends(task, finished=True)
                    self.turns.took(task)
                    self.line.remove(task)
                    self.finished.append((self.now, task))
                    break
                if self.turns.is_over(task, self.line, self.at_once):
                    self.turns.ends(task, finished=False)
                    break


def test_turns_go_from_session_to_session_and_not_from_question_to_question():
    machine = Machine()
    for _ in range(4):
        machine.ask(Question("greedy", 1.0))
    for name in "abc":
        machine.ask(Question(name, 1.0))
    machine.run()
    assert machine.served == ["greedy", "a", "b", "c", "greedy", "greedy", "greedy"]


def test_no_session_waits_longer_than_one_turn_of_each_other():
    machine = Machine()
    for i in range(30):
        for _ in range(3):
            machine.ask(Question(f"s{i}", 2.0))
    late: list[Question] = []

    def meanwhile(now):
        if now > 3 and not late:
            late.append(machine.ask(Question("late", 1.0)))

    machine.run(meanwhile=meanwhile)
    end = next(now for now, task in machine.finished if task is late[0])
    assert end - 3 < (30 + 1) * 2.0 + 1.1


def test_a_newcomers_prediction_waits_for_one_batch():
    machine = Machine()
    for i in range(50):
        machine.ask(Question(f"s{i}", 4.0))
    new: list[Question] = []

    def meanwhile(now):
        if now > 10 and not new:
            new.append(machine.ask(Question("new", 0.05, quick=True)))

    machine.run(meanwhile=meanwhile)
    end = next(now for now, task in machine.finished if task is new[0])
    assert end <= 10.2


def test_whoever_was_interrupted_by_a_prediction_goes_on_right_afterwards():
    machine = Machine()
    machine.ask(Question("a", 2.0))
    machine.ask(Question("b", 2.0))
    asked: list[Question] = []

    def meanwhile(now):
        if now > 1 and not asked:
            asked.append(machine.ask(Question("c", 0.05, quick=True)))

    machine.run(meanwhile=meanwhile)
    assert machine.served == ["a", "c", "a", "b"]


def test_long_ones_alternate_and_a_short_one_waits_for_a_slice_at_most():
    machine = Machine()
    machine.ask(Question("index", 60.0, short=False))
    machine.ask(Question("embedding", 2.0, short=False))
    machine.run()
    ends = {task.session: now for now, task in machine.finished}
    assert ends["embedding"] <= 2 * 2.0 + LONG_TURN + 0.1
    assert ends["index"] == pytest.approx(62.0, abs=0.1)


def test_what_claims_to_be_short_and_is_not_is_cut_as_well():
    machine = Machine()
    machine.ask(Question("liar", 60.0))
    machine.ask(Question("honest", 1.0))
    machine.run()
    ends = {task.session: now for now, task in machine.finished}
    assert ends["honest"] <= SHORT_TURN + 1.1


def test_what_claims_to_be_quick_and_is_not_is_so_no_longer():
    machine = Machine()
    machine.ask(Question("liar", 60.0, quick=True))
    machine.ask(Question("honest", 0.05, quick=True))
    machine.ask(Question("other", 1.0))
    machine.run()
    ends = {task.session: now for now, task in machine.finished}
    assert ends["honest"] < 3
    assert ends["other"] < 8


def test_what_took_less_than_a_tenth_of_a_second_before_goes_first_the_next_time():
    machine = Machine()
    machine.ask(Question("a", 0.05, label="channel map"))
    machine.run()
    machine.served.clear()
    machine.ask(Question("slow", 3.0))
    machine.ask(Question("b", 0.05, label="channel map"))
    machine.run()
    assert machine.served == ["b", "slow"]


def test_a_question_that_others_ask_too_has_the_turn_of_the_first_of_them():
    machine = Machine()
    for name in "abc":
        machine.ask(Question(name, 1.0))
        machine.ask(Question(name, 1.0))
    shared = Question("shared", 1.0)
    machine.ask(shared, "z", "a", "b")
    machine.run()
    order = [task.session for _, task in machine.finished]
    assert order == ["a", "b", "c", "shared", "c", "a", "b"]  # it was a turn of a and b as well


def test_only_so_many_are_begun_at_once_and_the_classifier_that_loads_is_not_loaded_twice():
    machine = Machine(at_once=3)
    for i in range(9):
        machine.ask(Question(f"s{i}", 2.0, short=False))
    most = [0]

    def meanwhile(now):
        most[0] = max(most[0], sum(task.begun for task in machine.line))

    machine.run(meanwhile=meanwhile)
    assert most == [3]
    loads = machine.ask(Question("loads", 1.0, classifier="new"))
    loads.begun = loads.loading = True
    same = machine.ask(Question("waits", 1.0, classifier="new", quick=True))
    other = machine.ask(Question("other", 1.0))
    assert machine.turns.next([same, other], 3) is same
    assert machine.turns.next([loads, same, other], 3) is loads  # as urgent as the one that waits for it
    loads.loading = False
    assert machine.turns.next([loads, same, other], 3) is same


def test_the_seconds_of_a_turn_are_known_from_before_or_from_its_share():
    turns = Turns(lambda: 0.0)
    question = Question("a", 1.0, label="saliency")
    assert turns.seconds_of_turn(question) == SHORT_TURN
    question.seconds = 2.0
    turns.took(question)
    assert turns.seconds_of_turn(Question("b", 1.0, label="saliency")) == 2.0
    question.share = 0.5
    assert turns.seconds_of_turn(question) == 2.0
    question.short = False
    assert turns.seconds_of_turn(question) == LONG_TURN
