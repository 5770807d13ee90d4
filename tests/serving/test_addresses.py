"""The addresses of a server: which names it answers to, and what it prints for a class."""

from core import roles
from core.serving import addresses


def test_only_this_machine_or_the_network():
    assert all(addresses.is_own(one) for one in ("localhost", "127.0.0.1", "127.0.1.1", "::1"))
    assert not any(addresses.is_own(one) for one in ("", "0.0.0.0", "192.168.0.7", "::", "evil.example"))
    assert addresses.hosts_of("localhost") == ["localhost", "127.0.0.1", "::1"]
    assert "192.168.0.7" in addresses.hosts_of("192.168.0.7")
    everywhere = addresses.hosts_of("0.0.0.0")
    assert "127.0.0.1" in everywhere
    assert not {"evil.example", "*", ""} & set(everywhere)


def test_two_links_and_only_the_teachers_has_the_token(monkeypatch):
    monkeypatch.setattr(roles, "_token", None)
    monkeypatch.setattr(addresses, "_interfaces", lambda: ["127.0.0.1", "8.8.8.8", "192.168.1.5"])
    for_class, for_teacher = addresses.links("0.0.0.0", 8501)
    assert for_class == "http://192.168.1.5:8501/"
    assert for_teacher == f"http://192.168.1.5:8501/teacher?token={roles.teacher_token()}"
    assert addresses.links("::", 80, "explore")[0] == "http://192.168.1.5:80/explore/"
    said = addresses.announce("0.0.0.0", 8501)
    assert said.count(roles.teacher_token()) == 1
    assert for_class in said


def test_the_qr_code_is_left_out_where_its_signs_cannot_be_written(monkeypatch):
    class Narrow:
        encoding = "cp1252"

    class Wide:
        encoding = "utf-8"

    monkeypatch.setattr("sys.stdout", Wide())
    code = addresses.qr_code("http://192.168.1.5:8501/")
    monkeypatch.setattr("sys.stdout", Narrow())
    narrow = addresses.qr_code("http://192.168.1.5:8501/")
    monkeypatch.undo()
    assert code.count("\n") > 8
    assert narrow == ""
