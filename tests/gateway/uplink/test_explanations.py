from gateway.uplink.explanations import MEANINGS, explain, printable


def test_an_error_is_told_with_what_it_means_and_as_it_came():
    assert explain("'Authorization Violation'").startswith("the hub refuses the login")
    assert explain("'Authorization Violation'").endswith("('Authorization Violation')")


def test_what_would_move_a_cursor_is_not_repeated():
    assert printable("no\x1b[2J\x07\r\nevent=forged") == "no?[2J???event=forged"


def test_the_other_end_is_called_what_it_is():
    assert explain("Client Closed", "broker") == "the broker has closed the connection (Client Closed)"


def test_what_is_not_known_is_told_as_it_is():
    assert explain("something else") == "something else"


def test_every_meaning_can_be_reached():
    for words, meaning in MEANINGS:
        assert explain(f"x {words} y").startswith(meaning)
