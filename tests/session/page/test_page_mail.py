from __future__ import annotations

import threading

from robot_rl.session.page.mail import Mail


def test_what_is_in_turn_comes_in_turn():
    mail: Mail[str] = Mail(3)
    for word in ("a", "b", "c"):
        assert mail.put(word)
    assert [mail.take() for _ in range(3)] == ["a", "b", "c"]


def test_too_many_are_refused_until_some_are_taken():
    mail: Mail[str] = Mail(2)
    assert mail.put("a")
    assert mail.put("b")
    assert not mail.put("c")
    assert mail.take() == "a"
    assert mail.put("c")


def test_only_the_newest_of_a_kind_is_kept_and_it_keeps_its_turn():
    mail: Mail[str] = Mail(2)
    mail.put_newest("view", "view 1")
    mail.put_newest("camera", "picture 1")
    mail.put_newest("view", "view 2")
    assert [mail.take(), mail.take()] == ["view 2", "picture 1"]


def test_who_waits_hears_of_the_end():
    mail: Mail[str] = Mail(1)
    taken: list[str | None] = []
    waiting = threading.Thread(target=lambda: taken.append(mail.take()))
    waiting.start()
    mail.close()
    waiting.join(10)
    assert taken == [None]
