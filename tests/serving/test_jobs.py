"""Jobs with trivial commands: what anyone who looks at the folders sees."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from core import roles
from core.errors import ConvoscopeError, SettingError
from core.serving import jobs, processes, watcher

SLEEP = [sys.executable, "-c", "import time; time.sleep(60)"]
QUICK = [sys.executable, "-c", "print('done')"]
# Notes each step, and ends politely when asked to.
STEPS = [
    sys.executable, "-c",
    "import json, signal, sys, time\n"
    "stop = []\n"
    "signal.signal(signal.SIGTERM, lambda *a: stop.append(1))\n"
    "out = open(sys.argv[1] + '/history.jsonl', 'a')\n"
    "for i in range(1, 1000):\n"
    "    out.write(json.dumps({'progress': i / 1000}) + '\\n'); out.flush()\n"
    "    time.sleep(0.02)\n"
    "    if stop: print('saved'); sys.exit(0)\n",
    "{folder}",
]  # fmt: skip


def wait_for(parent: Path, name: str, *states: str, seconds: float = 20) -> jobs.Job:
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = jobs.job(name, parent=parent)
        if found.state in states:
            return found
        time.sleep(0.05)
    raise AssertionError(f"{name} is {found.state}, not {states}: {found.message}")


@pytest.fixture
def parent(tmp_path):
    yield tmp_path
    for job in jobs.jobs(parent=tmp_path):
        if job.state == "waiting":
            jobs.stop(job.name, parent=tmp_path)
    for job in jobs.jobs(parent=tmp_path):
        if job.state in ("running", "stopping"):
            for file in (jobs.PROCESS, jobs.CHILD):
                if (job.folder / file).exists():
                    processes.end(json.loads((job.folder / file).read_text()))


def test_a_job_runs_to_its_end_and_keeps_its_log(parent):
    jobs.submit("a", QUICK, title="A job", parent=parent)
    done = wait_for(parent, "a", "finished")
    assert done.title == "A job"
    assert done.progress == 1
    assert (done.folder / jobs.LOG).read_text() == "done\n"


def test_one_at_a_time_on_a_device_and_who_waits_knows_behind_whom(parent):
    jobs.submit("first", SLEEP, title="First", parent=parent)
    jobs.submit("second", SLEEP, parent=parent)
    third = jobs.submit("third", SLEEP, parent=parent)
    other = jobs.submit("other", SLEEP, device="cuda", parent=parent)
    assert [(j.name, j.state) for j in jobs.jobs(parent=parent)] == [
        ("first", "running"), ("other", "running"), ("second", "waiting"), ("third", "waiting"),
    ]  # fmt: skip
    assert third.behind == ("first", "second")
    assert third.message == "Waits behind “First” and “second”."
    assert other.state == "running"


def test_the_next_begins_when_the_first_has_ended_without_anyone_keeping_the_queue(parent):
    jobs.submit("first", SLEEP, parent=parent)
    jobs.submit("second", QUICK, parent=parent)
    jobs.stop("first", parent=parent)
    wait_for(parent, "first", "stopped")
    wait_for(parent, "second", "finished")


def test_a_queue_goes_on_while_nobody_looks(parent):
    jobs.submit("first", [sys.executable, "-c", "import time; time.sleep(1)"], parent=parent)
    jobs.submit("second", QUICK, parent=parent)
    jobs.submit("third", QUICK, parent=parent)
    until = time.monotonic() + 60
    while not (parent / "third" / jobs.EXIT).exists():  # the files alone: `jobs.jobs` would start the next
        assert time.monotonic() < until, "the third job was never started"
        time.sleep(0.1)
    assert (parent / "second" / jobs.EXIT).exists()


def test_stop_is_polite_and_resume_goes_on(parent):
    jobs.submit("steps", STEPS, parent=parent)
    until = time.monotonic() + 20
    while jobs.job("steps", parent=parent).progress < 0.003 and time.monotonic() < until:
        time.sleep(0.02)
    assert 0 < jobs.job("steps", parent=parent).progress < 0.9
    jobs.stop("steps", parent=parent)
    stopped = wait_for(parent, "steps", "stopped")
    assert (stopped.folder / jobs.LOG).read_text() == "saved\n"
    jobs.resume("steps", parent=parent)
    assert wait_for(parent, "steps", "running").state == "running"


def test_a_killed_process_is_seen_as_dead_by_its_last_words(parent):
    words = [sys.executable, "-c", "import time; print('half way', flush=True); time.sleep(60)"]
    jobs.submit("doomed", words, parent=parent)
    folder = parent / "doomed"
    until = time.monotonic() + 20
    while not (folder / jobs.LOG).exists() or not (folder / jobs.LOG).read_text():
        assert time.monotonic() < until
        time.sleep(0.02)
    processes.end(json.loads((folder / jobs.PROCESS).read_text()))
    failed = wait_for(parent, "doomed", "failed")
    assert "killed" in failed.message
    assert failed.message.endswith("Its last message: half way")


def test_a_later_process_of_the_same_id_is_not_taken_for_it(parent):
    folder = parent / "old"
    folder.mkdir()
    about = {"name": "old", "title": "old", "command": SLEEP, "device": "cpu", "queued": 1.0}
    (folder / jobs.JOB).write_text(json.dumps(about))
    for mark in ({"pid": os.getpid()}, {"pid": os.getpid(), "born": 1.0}, {"pid": 2**22 + 1, "born": 1.0}):
        (folder / jobs.PROCESS).write_text(json.dumps({**mark, "started": 1.0}))
        assert jobs.job("old", parent=parent).state == "failed"


def test_an_orphan_still_counts_as_running_when_its_watcher_was_killed(parent):
    jobs.submit("orphan", SLEEP, parent=parent)
    watcher = json.loads((parent / "orphan" / jobs.PROCESS).read_text())["pid"]
    until = time.monotonic() + 20
    while not (parent / "orphan" / jobs.CHILD).exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(watcher, signal.SIGKILL)
    time.sleep(0.2)
    assert jobs.job("orphan", parent=parent).state == "running"
    jobs.submit("next", QUICK, parent=parent)
    assert jobs.job("next", parent=parent).state == "waiting"
    jobs.stop("orphan", parent=parent)
    wait_for(parent, "orphan", "stopped")
    wait_for(parent, "next", "finished")


def test_a_failure_says_its_code_and_last_line(parent):
    words = [sys.executable, "-c", "import sys; print('no such data set'); sys.exit(2)"]
    jobs.submit("bad", words, parent=parent)
    failed = wait_for(parent, "bad", "failed")
    assert failed.message == "It ended with code 2. Its last message: no such data set"


def test_it_survives_the_process_that_started_it(parent):
    code = (
        "import sys; from pathlib import Path; from core.serving import jobs; "
        "jobs.submit('long', [sys.executable, '-c', 'import time; time.sleep(60)'], parent=Path(sys.argv[1]))"
    )
    subprocess.run([sys.executable, "-c", code, str(parent)], check=True, cwd=jobs.PROJECT)
    assert jobs.job("long", parent=parent).state == "running"


def test_names_and_states_are_refused_with_a_reason(parent):
    with pytest.raises(SettingError, match=r"'\.\./x' cannot be that of a folder"):
        jobs.submit("../x", QUICK, parent=parent)
    jobs.submit("a", SLEEP, parent=parent)
    with pytest.raises(jobs.JobError, match="already, which is running"):
        jobs.submit("a", QUICK, parent=parent)
    with pytest.raises(jobs.JobError, match="still runs: stop it first"):
        jobs.remove("a", parent=parent)
    with pytest.raises(jobs.JobError, match="no job named 'b'"):
        jobs.stop("b", parent=parent)


def test_a_waiting_job_leaves_the_queue_and_can_be_removed(parent):
    jobs.submit("a", SLEEP, parent=parent)
    jobs.submit("b", SLEEP, parent=parent)
    assert jobs.stop("b", parent=parent).state == "stopped"
    jobs.remove("b", parent=parent)
    assert [j.name for j in jobs.jobs(parent=parent)] == ["a"]


def test_progress_is_read_from_any_records():
    assert jobs.share_done([{"progress": 0.25}]) == 0.25
    start = {"kind": "start", "epochs": 4, "steps_an_epoch": 10}
    assert jobs.share_done([start, {"kind": "step", "step": 10}]) == 0.25
    assert jobs.share_done([start, {"kind": "step", "step": 10}, {"kind": "end"}]) == 1
    assert jobs.share_done([]) == 0


def test_work_started_in_a_shell_is_a_job_like_any_other(parent):
    code = (
        "import sys, time; from pathlib import Path; from core.serving import jobs\n"
        "with jobs.as_job(Path(sys.argv[1]), ['x'], title='By hand'):\n"
        "    print('in', flush=True); time.sleep(float(sys.argv[2]))\n"
    )
    words = [sys.executable, "-c", code, str(parent / "shell")]
    shell = subprocess.Popen([*words, "60"], cwd=jobs.PROJECT, stdout=subprocess.PIPE, start_new_session=True)
    assert shell.stdout.readline() == b"in\n"
    seen = jobs.job("shell", parent=parent)
    assert (seen.state, seen.title) == ("running", "By hand")
    assert jobs.submit("next", QUICK, parent=parent).state == "waiting"
    second = subprocess.run([*words, "0"], cwd=jobs.PROJECT, capture_output=True, text=True)
    assert "'shell' is running already" in second.stderr
    jobs.stop("shell", parent=parent)
    shell.wait(20)
    assert wait_for(parent, "shell", "stopped").state == "stopped"
    wait_for(parent, "next", "finished")
    subprocess.run([*words, "0"], cwd=jobs.PROJECT, check=True)
    assert jobs.job("shell", parent=parent).state == "finished"


@pytest.mark.parametrize(
    "name", ["-rf", "--help", ".hidden", "", "a/b", "a\0b", "x" * 300, "<img>", "..", "CON", "nul.txt", "a."]
)
def test_a_name_that_is_none_on_some_system_is_refused_with_a_reason(parent, name):
    with pytest.raises(SettingError, match=r"cannot be that of a folder|too long"):
        jobs.submit(name, QUICK, parent=parent)
    assert not [path for path in parent.iterdir() if path.name != ".lock"]


FORMS = {
    "job.json": [{"command": 5}, {"command": [5]}, {"queued": None}, {"device": []}, {"title": 3}, [], 5],
    "process.json": [{"pid": 1}, {"started": "x"}, {"started": True}, [1]],
    "exit.json": [{}, {"code": "x", "ended": 1}, {"code": 0}, "x"],
    "child.json": [{}, [], {"pid": "x", "born": 2}],
    "history.jsonl": [5, [], {"kind": "start", "epochs": "x", "steps_an_epoch": 2}, {"progress": "x"}],
}


@pytest.mark.parametrize(
    ("file", "value"), [(file, value) for file in FORMS for value in FORMS[file]], ids=str
)
def test_a_damaged_job_is_one_line_and_all_others_work(parent, file, value):
    good = {"name": "bad", "title": "bad", "command": QUICK, "device": "cpu", "queued": 1.0}
    (parent / "bad").mkdir()
    (parent / "bad" / "job.json").write_text(json.dumps(good))
    (parent / "bad" / "exit.json").write_text(json.dumps({"code": 1, "ended": 2.0}))
    (parent / "bad" / file).write_text(json.dumps(value))
    jobs.submit("good", QUICK, parent=parent)
    assert wait_for(parent, "good", "finished").state == "finished"
    bad = jobs.job("bad", parent=parent)
    assert bad.state == "failed"
    if f"file {file} is damaged" in bad.message:
        with pytest.raises(ConvoscopeError, match=f"cannot be resumed.*{file}"):
            jobs.resume("bad", parent=parent)
    jobs.remove("bad", parent=parent)  # and it can be deleted
    assert [j.name for j in jobs.jobs(parent=parent)] == ["good"]


def test_of_two_who_press_delete_or_stop_at_once_one_reads_a_sentence(parent):
    wrong = []

    def press(action, name):
        try:
            action(name, parent=parent)
        except ConvoscopeError:
            pass
        except Exception as error:  # noqa: BLE001
            wrong.append(error)

    for turn in range(10):
        for name in ("a", "b"):
            folder = parent / name
            folder.mkdir()
            about = {"name": name, "command": QUICK, "queued": float(turn)}
            (folder / "job.json").write_text(json.dumps(about))
            (folder / "exit.json").write_text(json.dumps({"code": 0, "ended": 2.0}))
        presses = [(action, name) for action in (jobs.stop, jobs.remove) for name in ("a", "b")] * 2
        threads = [threading.Thread(target=press, args=one) for one in presses]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong


def test_a_run_that_ends_without_its_watcher_has_finished_by_its_records(parent):
    words = [
        sys.executable, "-c",
        "import sys, time, pathlib\n"
        "while not pathlib.Path(sys.argv[1], 'go').exists(): time.sleep(0.02)\n"
        "open(sys.argv[1] + '/history.jsonl', 'a').write('{\"kind\": \"end\"}\\n')\n",
        "{folder}",
    ]  # fmt: skip
    jobs.submit("orphan", words, parent=parent)
    folder = parent / "orphan"
    until = time.monotonic() + 20
    while not (folder / jobs.CHILD).exists():
        assert time.monotonic() < until
        time.sleep(0.02)
    os.kill(json.loads((folder / jobs.PROCESS).read_text())["pid"], signal.SIGKILL)
    assert jobs.job("orphan", parent=parent).state == "running"
    (folder / "go").touch()
    done = wait_for(parent, "orphan", "finished", "failed")
    assert (done.state, done.progress, done.message) == ("finished", 1, "")


def test_a_full_disk_does_not_lose_the_exit_code(parent, monkeypatch):
    folder = parent / "full"
    folder.mkdir()
    tries = []

    def full(path, value):
        tries.append(path.name)
        if len(tries) < 4:
            raise OSError(28, "No space left on device")
        path.write_text(json.dumps(value))

    monkeypatch.setattr(watcher, "write_json", full)
    monkeypatch.setattr(watcher, "LOOK_EVERY", 0.01)
    monkeypatch.setattr(processes, "on_stop", lambda note: None)
    monkeypatch.setattr(processes, "be_nice", lambda: None)
    assert watcher.watch(folder, [sys.executable, "-c", "raise SystemExit(3)"]) == 3
    assert json.loads((folder / jobs.EXIT).read_text())["code"] == 3


def as_visitor(monkeypatch, name, may_all=False):
    monkeypatch.setattr(roles, "_visitor", lambda: roles.Visitor(name, may_all))


def test_trainings_take_turns_between_their_owners(parent, monkeypatch):
    as_visitor(monkeypatch, "ann")
    for name in ("a1", "a2", "a3", "a4"):
        jobs.submit(name, SLEEP, parent=parent)
    as_visitor(monkeypatch, "bob")
    jobs.submit("b1", SLEEP, parent=parent)
    jobs.submit("b2", SLEEP, parent=parent)
    order = [j.name for j in jobs.jobs(parent=parent)]
    assert order == ["a1", "b1", "a2", "b2", "a3", "a4"]
    assert jobs.job("a2", parent=parent).behind == ("a1", "b1")


def test_a_visitor_has_three_trainings_waiting_at_most_and_the_teacher_any_number(parent, monkeypatch):
    as_visitor(monkeypatch, "ann")
    for name in ("a1", "a2", "a3", "a4"):
        jobs.submit(name, SLEEP, parent=parent)
    with pytest.raises(roles.NotAllowed, match="3 of your trainings are waiting already"):
        jobs.submit("a5", SLEEP, parent=parent)
    as_visitor(monkeypatch, "teacher", may_all=True)
    for name in ("t1", "t2", "t3", "t4", "t5"):
        jobs.submit(name, SLEEP, parent=parent)


def test_nobody_but_its_owner_and_the_teacher_stops_resumes_or_deletes_a_run(parent, monkeypatch):
    as_visitor(monkeypatch, "ann")
    jobs.submit("hers", SLEEP, parent=parent)
    jobs.submit("waits", SLEEP, parent=parent)
    for other in ("bob", ""):
        as_visitor(monkeypatch, other)
        for action in (jobs.stop, jobs.remove):
            for name in ("hers", "waits"):
                with pytest.raises(roles.NotAllowed, match="Someone else started the run"):
                    action(name, parent=parent)
    as_visitor(monkeypatch, "ann")
    jobs.stop("waits", parent=parent)
    as_visitor(monkeypatch, "bob")
    with pytest.raises(roles.NotAllowed):
        jobs.resume("waits", parent=parent)
    with pytest.raises(roles.NotAllowed):
        jobs.submit("waits", QUICK, parent=parent)
    as_visitor(monkeypatch, "teacher", may_all=True)
    jobs.stop("hers", parent=parent)
    wait_for(parent, "hers", "stopped")
    jobs.resume("waits", parent=parent)
    assert jobs.job("waits", parent=parent).owner == "ann"


def test_a_visitors_training_is_stopped_politely_when_its_time_is_over(parent, monkeypatch):
    as_visitor(monkeypatch, "ann")
    monkeypatch.setattr(roles, "LONGEST_JOB", 1.0)
    jobs.submit("long", STEPS, parent=parent)
    stopped = wait_for(parent, "long", "stopped")
    assert (stopped.folder / jobs.LOG).read_text() == "saved\n"
